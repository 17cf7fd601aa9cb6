"""Folders of clips, heard by scorers; what was heard is kept.

The cache goes by the content of the file and the scorer's fingerprint: a clip
that changes under its old name is heard again.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from absl import logging

from siren_jax.common import files, resample
from siren_jax.common.errors import UserError
from siren_jax.common.text import normal
from siren_jax.data import audio, sources, walk
from siren_jax.evaluation import paired
from siren_jax.evaluation.scorers import Heard, Scorer

BATCH = 16


@dataclasses.dataclass(frozen=True)
class Clip:
  """A sound file.

  Attributes:
    path: where it is.
    name: pairs it with its like in another folder.
    content: hash of the file.
    told: what a table says of it, "" where there is none.
  """

  path: pathlib.Path
  name: str
  content: str
  told: str = ""

  @property
  def caption(self) -> str | None:
    """What was told, or the prompt in the JSON that `generate` puts beside."""
    if self.told:
      return self.told
    try:
      return json.loads(self.path.with_suffix(".json").read_text())["prompt"]
    except (OSError, ValueError, KeyError, TypeError):
      return None


def is_table(source: str | os.PathLike) -> bool:
  """Is it a CSV or JSONL file of clips, not a folder?"""
  return pathlib.Path(source).suffix.lower() in (".csv", ".jsonl")


def find(
  source: str | os.PathLike, apart: str | os.PathLike | None = None
) -> list[Clip]:
  """All sound files of a folder and those below it, or of a table.

  Names are paths below the folder; those of a table are the files' own. Both
  are without suffix. In folder `apart`, no clip of a table is looked for.

  Raises:
    UserError: there is none, or two have one name.
  """
  source = pathlib.Path(source)
  if is_table(source):
    return _of_table(source, apart)
  walked = walk.sound_files(source, audio.SUFFIXES)
  problems = sources.Problems()
  for message in walked.skipped:
    problems.add(message)
  if not walked.paths:
    raise UserError(
      f"{source} holds no sound files ({', '.join(audio.SUFFIXES)})"
    )
  found: dict[str, Clip] = {}
  for path in walked.paths:
    name = normal(str(path.relative_to(source).with_suffix("")))
    if name in found:
      raise UserError(
        f"{found[name].path} and {path} have one name; clips are paired by it"
      )
    found[name] = Clip(path, name, _content(path))
  return list(found.values())


def _of_table(
  source: pathlib.Path, apart: str | os.PathLike | None
) -> list[Clip]:
  problems = sources.Problems()
  found: dict[str, Clip] = {}
  for recording in sources.find(source, problems, apart):
    path, told = recording.path, (*recording.captions, "")[0]
    if path.stem in found:
      raise UserError(
        f"{source}: {found[path.stem].path} and {path} have one name; clips are"
        " paired by it"
      )
    found[path.stem] = Clip(path, path.stem, _content(path), told)
  if problems.messages:
    logging.warning("%s: %s", source, problems.summary())
  return list(found.values())


def _content(path: pathlib.Path) -> str:
  return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def pairs(
  reference: Sequence[str], generated: Sequence[str]
) -> list[tuple[int, int]]:
  """Places of the same name in both."""
  places = {name: i for i, name in enumerate(reference)}
  return [
    (places[name], i) for i, name in enumerate(generated) if name in places
  ]


def distances(
  reference: Sequence[Clip], generated: Sequence[Clip]
) -> dict[str, np.ndarray]:
  """Distances of waveforms by name (see `paired`), one a pair.

  At the rate of the generated clip, as long as the shorter one.

  Raises:
    UserError: no two have the same name, or a clip is broken or too short.
  """
  places = pairs([c.name for c in reference], [c.name for c in generated])
  if not places:
    raise UserError(
      f"no clip is called as one of the reference, such as"
      f" {reference[0].name!r}; pairs go by name"
    )
  found = []
  for i, j in places:
    path = generated[j].path
    rate = audio.file_rate(path)
    both = [audio.read_audio(p, rate)[0] for p in (reference[i].path, path)]
    size = min(map(len, both))
    try:
      rows = (audio_S[None, :size] for audio_S in both)
      found.append(paired.distances(*rows, rate))
    except UserError as error:
      raise UserError(
        f"{path} and {reference[i].path}: {error}; leave them out"
      ) from error
  return {name: np.array([f[name][0] for f in found]) for name in found[0]}


def hear(
  clips: Sequence[Clip],
  scorer: Scorer,
  cache: pathlib.Path | None = None,
  progress: Callable[[int], None] = lambda count: None,
) -> list[Heard]:
  """What `scorer` hears in each clip, one after the other.

  Args:
    cache: folder of results; None keeps none.
    progress: is told how many clips are done.

  Raises:
    UserError: a clip is broken, silent or too short; the message names it.
  """
  home = cache / scorer.fingerprint if cache else None
  found: dict[str, Heard] = {}
  for clip in clips:
    kept = _kept(home, clip)
    if kept is not None:
      found[clip.content] = kept
  todo = {c.content: c for c in clips if c.content not in found}
  progress(len(clips) - len(todo))
  for batch, audio_BxS in _batches(list(todo.values()), scorer):
    heard = scorer.hear(audio_BxS)
    arrays = {name: np.asarray(value) for name, value in heard.items()}
    for i, clip in enumerate(batch):
      found[clip.content] = {name: x[i] for name, x in arrays.items()}
      if home:
        with files.replacing(home / f"{clip.content}.npz") as file:
          np.savez(file, **found[clip.content])
    progress(len(batch))
  return [found[clip.content] for clip in clips]


def _batches(
  clips: Sequence[Clip], scorer: Scorer
) -> Iterator[tuple[list[Clip], np.ndarray]]:
  """Neighbours of one length; rows are filled up to `BATCH`."""
  batch: list[tuple[Clip, np.ndarray]] = []

  def stacked():
    rows = [audio_S for _, audio_S in batch]
    rows += rows[-1:] * (BATCH - len(rows))
    return [clip for clip, _ in batch], np.stack(rows)

  for clip in clips:
    audio_S = _read(clip.path, scorer)
    if batch and (len(audio_S) != len(batch[0][1]) or len(batch) == BATCH):
      yield stacked()
      batch = []
    batch.append((clip, audio_S))
  if batch:
    yield stacked()


def _read(path: pathlib.Path, scorer: Scorer) -> np.ndarray:
  """Audio [S] at the scorer's rate, by its resampler."""
  by = resample.resample if scorer.resampler == "torchaudio" else audio.resample
  audio_S, _ = audio.read_audio(path, scorer.sample_rate, by)
  if len(audio_S) < scorer.shortest * scorer.sample_rate:
    raise UserError(
      f"{path}: {len(audio_S) / scorer.sample_rate:.2f} s; {scorer.name} hears"
      f" {scorer.shortest:g} s at least"
    )
  return audio_S


def _kept(home: pathlib.Path | None, clip: Clip) -> Heard | None:
  """What the cache has; a broken file is as good as none."""
  if home is None:
    return None
  try:
    return files.read_npz(home / f"{clip.content}.npz", "it is made anew")
  except UserError:
    return None
