"""Makes the planned records: recordings, synthetic sounds, mixtures."""

import collections
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from siren_jax.audio.sound_files import SILENCE, read_audio
from siren_jax.common.errors import UserError
from siren_jax.data import augment
from siren_jax.data.captions import book, describe, phrasebook
from siren_jax.data.preparation import composed, layouts
from siren_jax.data.preparation.config import AudioConfig
from siren_jax.data.preparation.layouts import Layout
from siren_jax.data.preparation.plan import (
  SplitPlan,
  hash_of,
  kind_of,
  label_of,
)
from siren_jax.data.sets.schema import Record, to_int16
from siren_jax.data.sources.problems import Problems
from siren_jax.data.sources.recording import Recording
from siren_jax.data.synthetic import sounds

DROPPED_TAIL = 0.25  # of a window: a rest shorter than this is left out
LAID_OUT = 0.6  # share of the records of one-shots with several takes
IN_ROWS = 0.85  # the same, of what comes in rows, such as steps

_Result = TypeVar("_Result")


class RecordMaker:
  """Makes the records of a plan, one item at a time.

  An unusable recording is recorded as a problem and does not affect others.

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
      for copy in range(plan.copies_of(recording)):
        advance()
        make = functools.partial(
          of_recording, copy=copy, is_laid_out=plan.layouts
        )
        result = self._attempt(recording, make)
        if result is not None:
          records, notes = result
          if not copy:
            self.notes.update(notes)
            usable.append(recording)
          yield from records
    for number in plan.synthetic:
      advance()
      yield of_synthetic(number, self._config)
    yield from self._composed("mixture", plan.mixtures, usable, advance)
    yield from self._composed("sequence", plan.sequences, usable, advance)

  def _attempt(
    self,
    recording: Recording,
    use: Callable[[Recording, AudioConfig], _Result],
  ) -> _Result | None:
    """The result of `use`; None, and a problem, if it fails."""
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

  def _composed(
    self,
    what: str,
    count: int,
    recordings: Sequence[Recording],
    advance: Callable[[], object],
  ) -> Iterator[Record]:
    """Mixtures or sequences of recordings of different categories."""
    by_kind = collections.defaultdict(list)
    for recording in recordings:
      if recording.category:
        by_kind[kind_of(recording)].append(recording)
    for number in range(count):
      advance()
      name = f"{what}/{number:06}"
      rng = _rng(name, self._config)
      compose, size = composed.mixture, 2
      if what == "sequence":
        compose = composed.sequence
        size = int(rng.integers(composed.COUNTS[0], composed.COUNTS[1] + 1))
      drawn = self._drawn(size, by_kind, rng)
      if drawn is None:
        self._problems.add(
          f"{name} and later: the usable recordings cover fewer than two"
          " categories"
        )
        return
      yield compose(name, *drawn, rng, self._config)

  def _drawn(
    self,
    count: int,
    by_kind: dict[str, list[Recording]],
    rng: np.random.Generator,
  ) -> tuple[list[Recording], list[np.ndarray]] | None:
    """Recordings of `count` kinds, or of two where there are no more.

    None if there are no two kinds of which a recording can be read.
    """
    while len(names := sorted(k for k in by_kind if by_kind[k])) > 1:
      chosen = [
        by_kind[kind][rng.integers(len(by_kind[kind]))]
        for kind in rng.choice(names, min(count, len(names)), replace=False)
      ]
      audio = []
      for recording in chosen:
        result = self._attempt(recording, read)
        if result is None:
          by_kind[kind_of(recording)].remove(recording)
        else:
          audio.append(result[0])
      if len(audio) == len(chosen):
        return chosen, audio
    return None


def read(
  recording: Recording, config: AudioConfig
) -> tuple[np.ndarray, tuple[str, ...]]:
  """The sound, and the reader's notes.

  Peaks above full scale from resampling are scaled down.

  Raises:
    UserError: it cannot be read.
  """
  audio_S, notes = read_audio(
    recording.path, config.sample_rate, max_seconds=config.max_seconds
  )
  return augment.limit(audio_S), notes


def of_recording(
  recording: Recording,
  config: AudioConfig,
  copy: int = 0,
  is_laid_out: bool = False,
) -> tuple[list[Record], tuple[str, ...]]:
  """The windows of a recording that hold sound, and the reader's notes.

  Args:
    recording: to read.
    config: what the set is made of.
    copy: another number draws other captions and another layout.
    is_laid_out: whether a short recording is laid out in its window.

  Raises:
    UserError: it cannot be read, or is silent.
  """
  audio_S, notes = read(recording, config)
  name = f"{recording.id}@{copy}" if copy else recording.id
  rng = _rng(name, config)
  windows = cut(audio_S, config.size)
  records = []
  for number, window_S in enumerate(windows):
    if np.abs(window_S).max() < SILENCE:
      continue
    layout = None
    if is_laid_out and recording.category and window_S.size < config.size:
      window_S, layout = _laid_out(recording, window_S, rng, config)
    suffix = f"#{number}" if len(windows) > 1 else ""
    sound_S = layout.audio_S if layout else window_S
    record = Record(
      id=name + suffix,
      audio_S=to_int16(config.levelled(sound_S)),
      sample_rate=config.sample_rate,
      captions=captions_of(recording, window_S, rng, config, layout),
      label=label_of(recording),
      source=str(recording.path),
      title=recording.title,
      author=recording.author,
      license=recording.license,
    )
    records.append(record)
  if not records:
    raise UserError(
      f"{recording.path}: silent in each window of {config.seconds:g} s;"
      " give a recording with sound in it"
    )
  return records, notes


def of_synthetic(number: int, config: AudioConfig) -> Record:
  """A synthetic sound, determined by its number and the config's seed."""
  seed = hash_of(f"{config.seed}/synthetic/{number}")
  sound = sounds.make(seed, config.sample_rate, config.seconds)
  return Record(
    id=f"synthetic/{number:06}",
    audio_S=to_int16(config.levelled(sound.audio_S)),
    sample_rate=config.sample_rate,
    captions=sound.captions[: config.captions],
    label="synthetic",
    source=f"synthetic, seed {seed}",
  )


def cut(audio_S: np.ndarray, size: int) -> list[np.ndarray]:
  """Windows of `size` samples, evenly spread, covering the recording.

  They overlap if its length is not a multiple of the window; up to a quarter of
  a window at the end may be dropped. A shorter recording is unchanged.
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
  layout: Layout | None = None,
) -> tuple[str, ...]:
  """The recording's own captions, or captions from its metadata and audio.

  Args:
    recording: what its source says.
    audio_S: the sound, one take where it is laid out.
    rng: the source of every choice.
    config: what the set is made of.
    layout: of its takes.
  """
  if recording.captions:
    return recording.captions[: config.captions]
  if recording.category:
    facts = facts_of(recording, audio_S, config, layout)
    return phrasebook.captions_for(
      recording.category, recording.title, facts, rng, config.captions
    )
  return phrasebook.instrument_captions(
    recording.title, recording.section, rng, config.captions
  )


def facts_of(
  recording: Recording,
  audio_S: np.ndarray,
  config: AudioConfig,
  layout: Layout | None = None,
) -> describe.Facts:
  """Measurements of a sound with the silence after it, and of its layout.

  The events of a layout are its takes, if a take is one event.
  """
  padded_S = np.pad(audio_S, (0, max(0, config.size - audio_S.size)))
  facts = describe.facts(padded_S, config.sample_rate)
  if config.loudness is not None:
    facts = dataclasses.replace(facts, loudness_dbfs=None)
  if layout is None:
    return facts
  is_single = facts.count(book.kind(recording.category).gap_seconds) == 1
  return dataclasses.replace(
    facts,
    events=layout.spans if is_single else (),
    rate_hz=layout.rate_hz,
    seconds=layout.spans[-1][1],
    takes=len(layout.spans),
    even=layout.even,
  )


def _laid_out(
  recording: Recording,
  audio_S: np.ndarray,
  rng: np.random.Generator,
  config: AudioConfig,
) -> tuple[np.ndarray, Layout | None]:
  """One take of the sound, and sometimes a layout of several for a one-shot.

  A steady sound is looped through the window. Recordings with captions from
  their source are unchanged, so that these stay true.
  """
  kind = book.kind(recording.category)
  if recording.captions:
    return audio_S, None
  if kind.one_shot:
    if rng.random() >= (IN_ROWS if kind.rate else LAID_OUT):
      return audio_S, None
    return audio_S, layouts.repeated(
      audio_S, config.size, config.sample_rate, kind.gap_seconds, rng
    )
  if kind.pitched or kind.event:
    return audio_S, None
  if layouts.is_steady(audio_S, config.sample_rate):
    audio_S = augment.fit(audio_S, config.size, "loop", 0)
  return audio_S, None


def _rng(name: str, config: AudioConfig) -> np.random.Generator:
  return np.random.default_rng([config.seed, hash_of(name)])
