"""What is planned becomes records: recordings, made-up sounds, mixtures."""

import collections
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from siren_jax.audio.sound_files import SILENCE, read_audio
from siren_jax.common.errors import UserError
from siren_jax.data import augment
from siren_jax.data.captions import describe, phrasebook
from siren_jax.data.preparation.config import AudioConfig
from siren_jax.data.preparation.plan import SplitPlan, hash_of
from siren_jax.data.sets.schema import Record, to_int16
from siren_jax.data.sources.problems import Problems
from siren_jax.data.sources.recording import Recording
from siren_jax.data.synthetic import sounds

DROPPED_TAIL = 0.25  # of a window: a rest shorter than this is left out
MIXED = augment.AugmentConfig(
  shift_seconds=1.0, fit="silence", mix_db=(-6.0, 3.0)
)

_Result = TypeVar("_Result")


class RecordMaker:
  """Makes the records of a plan, one item at a time.

  A recording that cannot be used is a problem, and costs no other.

  Attributes:
    notes: what the reader did to recordings, such as resampling, and to how
      many of them.
  """

  def __init__(self, config: AudioConfig, problems: Problems):
    self.notes: collections.Counter[str] = collections.Counter()
    self._config, self._problems = config, problems
    self._unusable: set[str] = set()  # ids

  def is_usable(self, recording: Recording) -> bool:
    """Whether records can be made of it; if not, it is a problem."""
    return self._attempt(recording, of_recording) is not None

  def records(
    self, plan: SplitPlan, advance: Callable[[], object]
  ) -> Iterator[Record]:
    """The records of a split; `advance` is called before each planned item."""
    usable = []
    for recording in plan.recordings:
      advance()
      result = self._attempt(recording, of_recording)
      if result is not None:
        records, notes = result
        self.notes.update(notes)
        yield from records
        usable.append(recording)
    for number in plan.synthetic:
      advance()
      yield of_synthetic(number, self._config)
    yield from self._mixtures(plan.mixtures, usable, advance)

  def _attempt(
    self,
    recording: Recording,
    use: Callable[[Recording, AudioConfig], _Result],
  ) -> _Result | None:
    """What `use` makes of it; None where it cannot, which is a problem."""
    if recording.id in self._unusable:
      return None
    try:
      return use(recording, self._config)
    except UserError as error:
      problem = str(error)
    except MemoryError:
      problem = (
        f"{recording.path}: does not fit into memory; cut it into pieces"
      )
    self._unusable.add(recording.id)
    self._problems.add(problem)
    return None

  def _mixtures(
    self,
    count: int,
    recordings: Sequence[Recording],
    advance: Callable[[], object],
  ) -> Iterator[Record]:
    """Mixtures of two recordings of different categories."""
    by_category = collections.defaultdict(list)
    for recording in recordings:
      if recording.category:
        by_category[recording.category].append(recording)
    for number in range(count):
      advance()
      name = f"mixture/{number:06}"
      record = self._mixture(name, by_category)
      if record is None:
        self._problems.add(
          f"{name} and later: usable recordings of fewer than two categories"
        )
        return
      yield record

  def _mixture(
    self, name: str, by_category: dict[str, list[Recording]]
  ) -> Record | None:
    """Draws until two can be read; None if there are no two categories."""
    rng = _rng(name, self._config)
    while len(names := sorted(c for c in by_category if by_category[c])) > 1:
      pair = [
        by_category[category][rng.integers(len(by_category[category]))]
        for category in rng.choice(names, 2, replace=False)
      ]
      audio = []
      for recording in pair:
        result = self._attempt(recording, read)
        if result is None:
          by_category[recording.category].remove(recording)
        else:
          audio.append(result[0])
      if len(audio) == len(pair):
        return of_pair(name, pair, audio, rng, self._config)
    return None


def read(
  recording: Recording, config: AudioConfig
) -> tuple[np.ndarray, tuple[str, ...]]:
  """The sound, and the reader's notes.

  Peaks that resampling made are brought to full scale.

  Raises:
    UserError: it cannot be read.
  """
  audio_S, notes = read_audio(
    recording.path, config.sample_rate, max_seconds=config.max_seconds
  )
  return augment.limit(audio_S), notes


def of_recording(
  recording: Recording, config: AudioConfig
) -> tuple[list[Record], tuple[str, ...]]:
  """The windows of a recording that hold sound, and the reader's notes.

  Raises:
    UserError: it cannot be read, or is silent.
  """
  audio_S, notes = read(recording, config)
  rng = _rng(recording.id, config)
  windows = cut(audio_S, config.size)
  records = []
  for number, window_S in enumerate(windows):
    if np.abs(window_S).max() < SILENCE:
      continue
    suffix = f"#{number}" if len(windows) > 1 else ""
    record = Record(
      id=recording.id + suffix,
      audio_S=to_int16(window_S),
      sample_rate=config.sample_rate,
      captions=captions_of(recording, window_S, rng, config),
      label=recording.category or recording.section,
      source=str(recording.path),
    )
    records.append(record)
  if not records:
    raise UserError(
      f"{recording.path}: silent in each window of {config.seconds:g} s;"
      " give a recording with sound in it"
    )
  return records, notes


def of_synthetic(number: int, config: AudioConfig) -> Record:
  """A made-up sound, whose number and the config's seed are all it takes."""
  seed = hash_of(f"{config.seed}/synthetic/{number}")
  sound = sounds.make(seed, config.sample_rate, config.seconds)
  return Record(
    id=f"synthetic/{number:06}",
    audio_S=to_int16(sound.audio_S),
    sample_rate=config.sample_rate,
    captions=sound.captions[: config.captions],
    label="synthetic",
    source=f"synthetic, seed {seed}",
  )


def of_pair(
  name: str,
  pair: Sequence[Recording],
  audio: Sequence[np.ndarray],
  rng: np.random.Generator,
  config: AudioConfig,
) -> Record:
  """A mixture of two recordings, of which `audio` are the sounds."""
  first, second = pair
  first_S, second_S = (
    augment.vary(audio_S, config.size, config.sample_rate, MIXED, rng)
    for audio_S in audio
  )
  level_db = augment.uniform(MIXED.mix_db, rng)
  return Record(
    id=name,
    audio_S=to_int16(augment.mix(first_S, second_S, level_db)),
    sample_rate=config.sample_rate,
    captions=phrasebook.mixture_captions(
      first.category, second.category, rng, config.captions
    ),
    label=f"{first.category} + {second.category}",
    source=f"{first.id} + {second.id}",
  )


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
  rng: np.random.Generator,
  config: AudioConfig,
) -> tuple[str, ...]:
  """The recording's own captions, or captions from what is known of it."""
  if recording.captions:
    return recording.captions[: config.captions]
  if recording.category:
    facts = describe.facts(audio_S, config.sample_rate)
    return phrasebook.captions_for(
      recording.category, recording.title, facts, rng, config.captions
    )
  return phrasebook.instrument_captions(
    recording.title, recording.section, rng, config.captions
  )


def _rng(name: str, config: AudioConfig) -> np.random.Generator:
  return np.random.default_rng([config.seed, hash_of(name)])
