"""Recordings, made-up sounds and mixtures, turned into records."""

import collections
import dataclasses
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from siren_jax.audio.decoding import RATES
from siren_jax.audio.sound_files import MAX_SECONDS, SILENCE, read_audio
from siren_jax.common.errors import UserError
from siren_jax.data import augment
from siren_jax.data.captions import describe, phrasebook
from siren_jax.data.sets import writer
from siren_jax.data.sets.schema import Record, to_example, to_int16
from siren_jax.data.sources.recordings import Problems, Recording
from siren_jax.data.synthetic import sounds as synthetic

DROPPED_TAIL = 0.25  # of a window: a rest shorter than this is left out
MIXED = augment.AugmentConfig(
  shift_seconds=1.0, fit="silence", mix_db=(-6.0, 3.0)
)

_Result = TypeVar("_Result")


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
    max_seconds: longer recordings are left out.
    strict: the first bad row or file ends the run.
    seed: fixes captions, synthetic sounds and mixtures.
  """

  sample_rate: int = 16000
  seconds: float = 5.0
  captions: int = 8
  synthetic: int = 0
  mixtures: int = 0
  validation_fold: str = ""
  max_seconds: float = MAX_SECONDS
  strict: bool = False
  seed: int = 0

  def __post_init__(self):
    for name in ("sample_rate", "seconds", "captions", "max_seconds"):
      value = getattr(self, name)
      if not 0 < value < math.inf:
        raise UserError(f"{name}={value}: must be above 0")
    low, high = RATES
    if not low <= self.sample_rate <= high:
      raise UserError(
        f"sample_rate={self.sample_rate}: must be {low} to {high} Hz"
      )
    if not 1 <= self.size <= MAX_SECONDS * self.sample_rate:
      raise UserError(
        f"seconds={self.seconds}: must be one sample at least and"
        f" {MAX_SECONDS:g} s at most"
      )
    for name in ("synthetic", "mixtures"):
      value = getattr(self, name)
      if value < 0:
        raise UserError(f"{name}={value}: must be 0 or more")

  @property
  def size(self) -> int:
    return round(self.seconds * self.sample_rate)


class AudioMaker:
  """Turns recordings into records and keeps count.

  A recording that cannot be used is a problem, and costs no other.
  """

  def __init__(self, config: AudioConfig, problems: Problems, files: int):
    self._config = config
    self.problems = problems
    self._counts = collections.Counter()
    self._notes = collections.Counter()
    self._unusable = set()  # ids
    total = files + config.synthetic + config.mixtures
    self.progress = tqdm(total=total, desc="preparing audio", unit=" sounds")

  def summary(self) -> dict[str, Any]:
    return {
      **self._counts,
      "skipped": len(self.problems.messages),
      "notes": dict(self._notes),
    }

  def is_usable(self, recording: Recording) -> bool:
    """Whether records can be made of it; if not, it is a problem."""
    return self._attempt(recording, self._records_of) is not None

  def examples(
    self, split: str, recordings: Sequence[Recording], synthetics: range
  ) -> writer.Examples:
    """Keys and examples of a split, made one at a time."""
    for record in self._records(split, recordings, synthetics):
      self._counts[split] += 1
      self._counts[f"{split}_seconds"] += record.seconds
      yield record.id, to_example(record)

  def _records(
    self, split: str, recordings: Sequence[Recording], synthetics: range
  ) -> Iterator[Record]:
    usable = []
    for recording in recordings:
      self.progress.update()
      result = self._attempt(recording, self._records_of)
      if result is not None:
        records, notes = result
        self._notes.update(notes)
        yield from records
        usable.append(recording)
    for number in synthetics:
      self.progress.update()
      yield self._synthetic(number)
    if split == "train":
      yield from self._mixtures(usable)

  def _attempt(
    self, recording: Recording, use: Callable[[Recording], _Result]
  ) -> _Result | None:
    """What `use` makes of it; None where it cannot, which is a problem."""
    if recording.id in self._unusable:
      return None
    try:
      return use(recording)
    except UserError as error:
      problem = str(error)
    except MemoryError:
      problem = (
        f"{recording.path}: does not fit into memory; cut it into pieces"
      )
    self._unusable.add(recording.id)
    self.problems.add(problem)
    return None

  def _records_of(
    self, recording: Recording
  ) -> tuple[list[Record], tuple[str, ...]]:
    """The windows of a recording that hold sound, and the reader's notes."""
    config = self._config
    audio_S, notes = self._read(recording)
    rng = self._rng(recording.id)
    windows = cut(audio_S, config.size)
    records = []
    for number, window_S in enumerate(windows):
      if np.abs(window_S).max() < SILENCE:
        continue
      suffix = f"#{number}" if len(windows) > 1 else ""
      captions = captions_of(
        recording, window_S, config.sample_rate, rng, config.captions
      )
      records.append(
        self._record(
          recording.id + suffix,
          window_S,
          captions,
          recording.category or recording.section,
          str(recording.path),
        )
      )
    if not records:
      raise UserError(
        f"{recording.path}: silent in each window of {config.seconds:g} s;"
        " give a recording with sound in it"
      )
    return records, notes

  def _read(self, recording: Recording) -> tuple[np.ndarray, tuple[str, ...]]:
    """The sound with the peaks that resampling made brought to full scale."""
    config = self._config
    audio_S, notes = read_audio(
      recording.path, config.sample_rate, max_seconds=config.max_seconds
    )
    return augment.limit(audio_S), notes

  def _synthetic(self, number: int) -> Record:
    config = self._config
    seed = hash_of(f"{config.seed}/synthetic/{number}")
    sound = synthetic.make(seed, config.sample_rate, config.seconds)
    captions = tuple(sound.captions)[: config.captions]
    name = f"synthetic/{number:06}"
    return self._record(
      name, sound.audio_S, captions, "synthetic", f"synthetic, seed {seed}"
    )

  def _mixtures(self, recordings: Sequence[Recording]) -> Iterator[Record]:
    """Two recordings of different categories at once."""
    by_category = collections.defaultdict(list)
    for recording in recordings:
      if recording.category:
        by_category[recording.category].append(recording)
    for number in range(self._config.mixtures):
      self.progress.update()
      name = f"mixture/{number:06}"
      record = self._mixture(name, by_category)
      if record is None:
        self.problems.add(
          f"{name} and later: usable recordings of fewer than two categories"
        )
        return
      yield record

  def _mixture(
    self, name: str, by_category: dict[str, list[Recording]]
  ) -> Record | None:
    """Draws until two can be read; None if there are no two categories."""
    rng = self._rng(name)
    while len(names := sorted(c for c in by_category if by_category[c])) > 1:
      pair = [
        by_category[category][rng.integers(len(by_category[category]))]
        for category in rng.choice(names, 2, replace=False)
      ]
      sounds = [self._attempt(recording, self._read) for recording in pair]
      for recording, sound in zip(pair, sounds, strict=True):
        if sound is None:
          by_category[recording.category].remove(recording)
      if None not in sounds:
        return self._mixed(name, pair, [sound[0] for sound in sounds], rng)
    return None

  def _mixed(
    self,
    name: str,
    pair: Sequence[Recording],
    sounds: Sequence[np.ndarray],
    rng: np.random.Generator,
  ) -> Record:
    config = self._config
    first, second = pair
    parts = [
      augment.vary(audio_S, config.size, config.sample_rate, MIXED, rng)
      for audio_S in sounds
    ]
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
    return np.random.default_rng([self._config.seed, hash_of(name)])


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


def hash_of(text: str) -> int:
  """32 bits that depend on the text alone, in every process."""
  return zlib.crc32(text.encode())
