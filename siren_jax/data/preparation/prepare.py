"""Recordings to an audio set; the front door of data preparation."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.data.preparation.codes import CodesConfig, prepare_codes
from siren_jax.data.preparation.maker import (
  AudioConfig,
  AudioMaker,
  cut,
  hash_of,
)
from siren_jax.data.sets import schema, writer
from siren_jax.data.sources.recordings import Problems, Recording, find

__all__ = [
  "AudioConfig",
  "CodesConfig",
  "cut",
  "prepare_audio",
  "prepare_codes",
]

SKIPPED = "skipped.txt"  # in the audio set: what could not be used, a line each
VALIDATION_SHARE = 0.05  # where no split and no fold says otherwise


def prepare_audio(
  sources: Sequence[str | os.PathLike],
  out: str | os.PathLike,
  config: AudioConfig = AudioConfig(),
  *,
  overwrite: bool = False,
) -> dict[str, Any]:
  """Writes an audio set with splits train and validation to folder `out`.

  Args:
    sources: folders and manifests (see `sources.find`); may be empty if there
      are synthetic sounds.
    out: a new folder.
    config: what to make.
    overwrite: `out` may be a data set; it is replaced when the new one is
      complete.

  Returns:
    Counts: records and seconds by split, skipped (what: skipped.txt in `out`),
    notes (what was resampled or mixed down).

  Raises:
    UserError: nothing usable, or `out` is there already, in use or not
      writable.
  """
  with writer.claim(out, overwrite):
    return _prepare(sources, out, config)


def _prepare(
  sources: Sequence[str | os.PathLike],
  out: str | os.PathLike,
  config: AudioConfig,
) -> dict[str, Any]:
  problems = Problems(config.strict)
  recordings = _gather(sources, problems)
  maker = AudioMaker(config, problems, len(recordings))
  examples = {
    split: maker.examples(split, *plan)
    for split, plan in _plan(recordings, config, maker).items()
  }
  with maker.progress:
    writer.write(
      out,
      schema.audio_features(),
      examples,
      lambda folder: _write_skipped(folder, problems),
    )
  return maker.summary()


def _write_skipped(folder: Path, problems: Problems) -> None:
  if problems.messages:
    text = "".join(f"{message}\n" for message in problems.messages)
    (folder / SKIPPED).write_text(text, "utf-8")


def _plan(
  recordings: Sequence[Recording],
  config: AudioConfig,
  maker: AudioMaker,
) -> dict[str, tuple[Sequence[Recording], range]]:
  """What goes into each split: recordings, and numbers of synthetic sounds.

  Synthetic sounds are trained on; they validate where there is nothing else.
  """
  count = config.synthetic
  if recordings:
    parts = assign_splits(recordings, config)
    _check_mixtures(parts["train"], config)
    parts = _with_usable(parts, config, maker)
    held = 0
  elif count >= 2:
    parts = {"train": (), "validation": ()}
    held = max(1, round(VALIDATION_SHARE * count))
  else:
    raise UserError(
      f"no source and synthetic={count}; give a folder or manifest, or"
      " synthetic=2 or more"
    )
  return {
    "train": (parts["train"], range(held, count)),
    "validation": (parts["validation"], range(held)),
  }


def _check_mixtures(
  recordings: Sequence[Recording], config: AudioConfig
) -> None:
  count = len({r.category for r in recordings if r.category})
  if config.mixtures and count < 2:
    raise UserError(
      f"mixtures={config.mixtures}: recordings of {count} categories; needs"
      " two or more"
    )


def assign_splits(
  recordings: Sequence[Recording], config: AudioConfig
) -> dict[str, list[Recording]]:
  """Train and validation, each with at least one recording.

  A `split` or a validation fold decides, and whatever has neither is trained
  on. Where nothing has either, a hash of the id picks about 5 %.
  """
  folds = sorted({r.fold for r in recordings if r.fold})
  fold = str(config.validation_fold) or (folds[-1] if folds else "")
  if fold and fold not in folds:
    raise UserError(
      f"validation_fold={fold}: no such fold;"
      f" there are {', '.join(folds) or 'none'}"
    )
  if fold or any(r.split for r in recordings):
    held = [
      r.split == "validation" or (not r.split and bool(fold) and r.fold == fold)
      for r in recordings
    ]
  else:
    held = _hash_held(recordings)
  parts = {"train": [], "validation": []}
  for recording, is_held in zip(recordings, held, strict=True):
    parts["validation" if is_held else "train"].append(recording)
  for name, part in parts.items():
    if not part:
      raise UserError(
        f"no recording is left for {name} (of {len(recordings)}); give two or"
        " more, and mark some of each split"
      )
  return parts


def _hash_held(recordings: Sequence[Recording]) -> list[bool]:
  """The recordings with the lowest hashes; one at least."""
  hashes = [hash_of(r.id) for r in recordings]
  limit = max(VALIDATION_SHARE * 2**32, min(hashes, default=0))
  return [h <= limit for h in hashes]


def _with_usable(
  parts: Mapping[str, Sequence[Recording]],
  config: AudioConfig,
  maker: AudioMaker,
) -> dict[str, list[Recording]]:
  """The parts, changed so that each has a recording that can be used.

  One that has none gets one from the other part: that with the lowest hash of
  its id among the usable ones. Synthetic sounds are enough to train on.
  """
  parts = {name: list(part) for name, part in parts.items()}
  kept = {
    name: next(filter(maker.is_usable, part), None)
    for name, part in parts.items()
  }
  others = ["train"] if config.synthetic else []
  for name, other in (("train", "validation"), ("validation", "train")):
    if kept[name] or name in others:
      continue
    needed = None if other in others else kept[other]
    spares = (r for r in _by_hash(parts[other]) if r is not needed)
    spare = next(filter(maker.is_usable, spares), None)
    if spare is None:
      raise UserError(f"no usable sound for {name}: {maker.problems.summary()}")
    parts[other].remove(spare)
    parts[name].append(spare)
    logging.warning(
      "no recording for %s can be used; %s takes their place", name, spare.id
    )
  return parts


def _by_hash(recordings: Sequence[Recording]) -> list[Recording]:
  return sorted(recordings, key=lambda r: (hash_of(r.id), r.id))


def _gather(
  sources: Sequence[str | os.PathLike], problems: Problems
) -> list[Recording]:
  """Recordings of all sources, each file once.

  The source's name makes their ids unique.
  """
  recordings, names, places = [], set(), set()
  for number, source in enumerate(sources):
    path = paths.local(source).resolve()
    name = path.parent.name if path.is_file() else path.name
    if name in names:
      name = f"{name}-{number}"
    names.add(name)
    for recording in find(source, problems):
      place = os.path.realpath(recording.path)
      if place in places:
        problems.add(f"{recording.path}: in another source already")
        continue
      places.add(place)
      recordings.append(
        dataclasses.replace(recording, id=f"{name}/{recording.id}")
      )
  return recordings
