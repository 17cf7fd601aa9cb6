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

from siren_jax.common import files, resample
from siren_jax.common.errors import UserError
from siren_jax.data import audio
from siren_jax.evaluation.scorers import Heard, Scorer

BATCH = 16


@dataclasses.dataclass(frozen=True)
class Clip:
  """A sound file. `name` pairs it with its like in another folder."""

  path: pathlib.Path
  name: str
  content: str

  @property
  def caption(self) -> str | None:
    """The prompt in the JSON file beside it, as `siren-jax generate` writes."""
    try:
      return json.loads(self.path.with_suffix(".json").read_text())["prompt"]
    except (OSError, ValueError, KeyError, TypeError):
      return None


def find(folder: str | os.PathLike) -> list[Clip]:
  """All sound files of a folder and those below it, by name.

  Raises:
    UserError: there is none.
  """
  folder = pathlib.Path(folder)
  paths = sorted(
    p for p in folder.rglob("*") if p.suffix.lower() in audio.SUFFIXES
  )
  if not paths:
    raise UserError(
      f"{folder} holds no sound files ({', '.join(audio.SUFFIXES)})"
    )
  return [
    Clip(
      path,
      str(path.relative_to(folder).with_suffix("")),
      hashlib.sha256(path.read_bytes()).hexdigest()[:32],
    )
    for path in paths
  ]


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
