"""Recordings to an audio set; the front door of data preparation."""

import collections
import dataclasses
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from siren_jax.common.errors import UserError
from siren_jax.data import augment, builder, describe, phrasebook, synthetic
from siren_jax.data.audio import SILENCE, read_audio
from siren_jax.data.codes import CodesConfig, prepare_codes
from siren_jax.data.records import Record, to_example, to_int16
from siren_jax.data.sources import Problems, Recording, find

__all__ = [
  "AudioConfig",
  "CodesConfig",
  "prepare_audio",
  "prepare_codes",
]

SKIPPED = "skipped.txt"  # in the audio set: what could not be used, a line each
VALIDATION_SHARE = 0.05  # where no split and no fold says otherwise
DROPPED_TAIL = 0.25  # of a window: a rest shorter than this is left out
MIXED = augment.AugmentConfig(
  shift_seconds=1.0, fit="silence", mix_db=(-6.0, 3.0)
)


@dataclasses.dataclass(frozen=True)
class AudioConfig:
  """What prepare_audio makes.

  Attributes:
    sample_rate: of the set, in Hz.
    seconds: longer recordings are cut into windows of this length.
    captions: at most so many for each record.
    synthetic: number of procedural sounds added.
    mixtures: number of mixtures of two training recordings added.
    validation_fold: fold kept for validation; default the last one.
    strict: the first bad row or file ends the run.
    seed: fixes captions, synthetic sounds and mixtures.
  """

  sample_rate: int = 16000
  seconds: float = 5.0
  captions: int = 8
  synthetic: int = 0
  mixtures: int = 0
  validation_fold: str = ""
  strict: bool = False
  seed: int = 0

  def __post_init__(self):
    for name in ("sample_rate", "seconds", "captions"):
      value = getattr(self, name)
      if value <= 0:
        raise UserError(f"{name}={value}: must be above 0")
    for name in ("synthetic", "mixtures"):
      value = getattr(self, name)
      if value < 0:
        raise UserError(f"{name}={value}: must be 0 or more")

  @property
  def size(self) -> int:
    return round(self.seconds * self.sample_rate)


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
  with builder.claim(out, overwrite):
    return _prepare(sources, out, config)


def _prepare(
  sources: Sequence[str | os.PathLike],
  out: str | os.PathLike,
  config: AudioConfig,
) -> dict[str, Any]:
  problems = Problems(config.strict)
  recordings = _gather(sources, problems)
  maker = _AudioMaker(config, problems, len(recordings))
  examples = {
    split: maker.examples(split, *plan)
    for split, plan in _plan(recordings, config).items()
  }
  with maker.progress:
    builder.write(
      out,
      builder.audio_features(),
      examples,
      lambda folder: _write_skipped(folder, problems),
    )
  return maker.summary()


def _write_skipped(folder: Path, problems: Problems) -> None:
  if problems.messages:
    text = "".join(f"{message}\n" for message in problems.messages)
    (folder / SKIPPED).write_text(text, "utf-8")


def _plan(
  recordings: Sequence[Recording], config: AudioConfig
) -> dict[str, tuple[Sequence[Recording], range]]:
  """What goes into each split: recordings, and numbers of synthetic sounds.

  Synthetic sounds are trained on; they validate where there is nothing else.
  """
  count = config.synthetic
  if recordings:
    parts = assign_splits(recordings, config)
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
  hashes = [_hash(r.id) for r in recordings]
  limit = max(VALIDATION_SHARE * 2**32, min(hashes, default=0))
  return [h <= limit for h in hashes]


def _gather(
  sources: Sequence[str | os.PathLike], problems: Problems
) -> list[Recording]:
  """Recordings of all sources; the source's name makes their ids unique."""
  found, names = [], set()
  for number, source in enumerate(sources):
    path = Path(source).resolve()
    name = path.parent.name if path.is_file() else path.name
    if name in names:
      name = f"{name}-{number}"
    names.add(name)
    for recording in find(source, problems):
      found.append(dataclasses.replace(recording, id=f"{name}/{recording.id}"))
  return found


class _AudioMaker:
  """Turns recordings into records and keeps count."""

  def __init__(self, config: AudioConfig, problems: Problems, files: int):
    self._config = config
    self._problems = problems
    self._counts = collections.Counter()
    self._notes = collections.Counter()
    total = files + config.synthetic + config.mixtures
    self.progress = tqdm(total=total, desc="preparing audio", unit=" sounds")

  def summary(self) -> dict[str, Any]:
    return {
      **self._counts,
      "skipped": len(self._problems.messages),
      "notes": dict(self._notes),
    }

  def examples(
    self, split: str, recordings: Sequence[Recording], synthetics: range
  ) -> builder.Examples:
    """Keys and examples of a split, made one at a time."""
    made = self._records(split, recordings, synthetics)
    for record in made:
      self._counts[split] += 1
      self._counts[f"{split}_seconds"] += record.seconds
      yield record.id, to_example(record)
    if not self._counts[split]:
      raise UserError(
        f"no usable sound for {split}: {self._problems.summary()}"
      )

  def _records(
    self, split: str, recordings: Sequence[Recording], synthetics: range
  ) -> Iterator[Record]:
    usable = []
    for recording in recordings:
      self.progress.update()
      try:
        yield from self._from_recording(recording)
        usable.append(recording)
      except UserError as error:
        self._problems.add(str(error))
    for number in synthetics:
      self.progress.update()
      yield self._synthetic(number)
    if split == "train":
      yield from self._mixtures(usable)

  def _from_recording(self, recording: Recording) -> Iterator[Record]:
    """The windows of a recording that hold sound."""
    config = self._config
    audio_S, notes = read_audio(recording.path, config.sample_rate)
    self._notes.update(notes)
    rng = self._rng(recording.id)
    windows = cut(audio_S, config.size)
    for number, window_S in enumerate(windows):
      if np.abs(window_S).max() < SILENCE:
        continue
      suffix = f"#{number}" if len(windows) > 1 else ""
      yield self._record(
        recording.id + suffix,
        window_S,
        captions_of(
          recording, window_S, config.sample_rate, rng, config.captions
        ),
        recording.category or recording.section,
        str(recording.path),
      )

  def _synthetic(self, number: int) -> Record:
    config = self._config
    seed = _hash(f"{config.seed}/synthetic/{number}")
    sound = synthetic.make(seed, config.sample_rate, config.seconds)
    captions = tuple(sound.captions)[: config.captions]
    name = f"synthetic/{number:06}"
    return self._record(
      name, sound.audio_S, captions, "synthetic", f"synthetic, seed {seed}"
    )

  def _mixtures(self, recordings: Sequence[Recording]) -> Iterator[Record]:
    """Two recordings of different categories at once."""
    if not self._config.mixtures:
      return
    by_category = collections.defaultdict(list)
    for recording in recordings:
      if recording.category:
        by_category[recording.category].append(recording)
    if len(by_category) < 2:
      raise UserError(
        f"mixtures={self._config.mixtures}: recordings of"
        f" {len(by_category)} categories; needs two or more"
      )
    names = sorted(by_category)
    for number in range(self._config.mixtures):
      self.progress.update()
      rng = self._rng(f"mixture/{number:06}")
      pair = [
        by_category[name][rng.integers(len(by_category[name]))]
        for name in rng.choice(names, 2, replace=False)
      ]
      yield self._mixture(f"mixture/{number:06}", *pair, rng)

  def _mixture(
    self, name: str, first: Recording, second: Recording, rng
  ) -> Record:
    config = self._config
    parts = []
    for recording in (first, second):
      audio_S, _ = read_audio(recording.path, config.sample_rate)
      parts.append(
        augment.vary(audio_S, config.size, config.sample_rate, MIXED, rng)
      )
    return self._record(
      name,
      augment.mix(*parts, rng.uniform(*MIXED.mix_db)),
      phrasebook.mixture_captions(
        first.category, second.category, rng, config.captions
      ),
      f"{first.category} + {second.category}",
      f"{first.id} + {second.id}",
    )

  def _record(self, name, audio_S, captions, label, source) -> Record:
    rate = self._config.sample_rate
    return Record(name, to_int16(audio_S), rate, captions, label, source)

  def _rng(self, name: str) -> np.random.Generator:
    return np.random.default_rng([self._config.seed, _hash(name)])


def cut(audio_S: np.ndarray, size: int) -> list[np.ndarray]:
  """Windows of `size` samples, evenly spread, covering the recording.

  They overlap where it is no multiple of the window; up to a quarter of a
  window at the end may be dropped. A shorter recording is kept as it is.
  """
  count = max(1, math.ceil(audio_S.size / size - DROPPED_TAIL))
  room = max(0, audio_S.size - size) if count > 1 else 0
  starts = np.linspace(0, room, count).astype(int)
  return [audio_S[start : start + size] for start in starts]


def captions_of(
  recording: Recording,
  audio_S: np.ndarray,
  sample_rate: int,
  rng: np.random.Generator,
  count: int,
) -> tuple[str, ...]:
  """The recording's own captions, or captions from what is known of it."""
  if recording.captions:
    return recording.captions[:count]
  if recording.category:
    facts = describe.facts(audio_S, sample_rate)
    return phrasebook.captions_for(
      recording.category, recording.title, facts, rng, count
    )
  return phrasebook.instrument_captions(
    recording.title, recording.section, rng, count
  )


def _hash(text: str) -> int:
  """32 bits that depend on the text alone, in every process."""
  return zlib.crc32(text.encode())
