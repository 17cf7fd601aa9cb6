"""Records of several recordings: at once, or in order."""

from collections.abc import Sequence

import numpy as np

from siren_jax.data import augment
from siren_jax.data.captions import book, describe, phrasebook, wording
from siren_jax.data.preparation import layouts
from siren_jax.data.preparation.config import AudioConfig
from siren_jax.data.preparation.plan import label_of
from siren_jax.data.sets.schema import Record, to_int16
from siren_jax.data.sources.recording import Recording

BACKGROUND_DB = (-12.0, -3.0)  # of the second sound of a mixture
_DELAY_SECONDS = 1.0  # at most, before a mixture
COUNTS = (2, 3)  # of sounds in a sequence, fewest and most


def mixture(
  name: str,
  recordings: Sequence[Recording],
  sounds: Sequence[np.ndarray],
  rng: np.random.Generator,
  config: AudioConfig,
) -> Record:
  """Two recordings at once, the second below the first.

  The shorter one lies within the longer one.

  Args:
    sounds: the audio of the recordings.
  """
  parts, counts = _parts(recordings, sounds, config.size, rng, config)
  first_S, second_S = _at_once(parts, rng, config)
  level_db = augment.uniform(BACKGROUND_DB, rng)
  first, second = recordings
  captions = phrasebook.mixture_captions(
    first.category, second.category, rng, config.captions, counts
  )
  audio_S = augment.limit(first_S + augment.decibels(level_db) * second_S)
  return _record(name, recordings, audio_S, captions, " + ", config)


def sequence(
  name: str,
  recordings: Sequence[Recording],
  sounds: Sequence[np.ndarray],
  rng: np.random.Generator,
  config: AudioConfig,
) -> Record:
  """One recording after the other, in the order of the captions."""
  size = layouts.share(config.size, len(sounds), config.sample_rate)
  parts, counts = _parts(recordings, sounds, size, rng, config)
  captions = phrasebook.sequence_captions(
    [r.category for r in recordings], counts, rng, config.captions
  )
  audio_S = layouts.in_order(parts, config.sample_rate, rng)
  return _record(name, recordings, audio_S, captions, " > ", config)


def _at_once(
  parts: Sequence[np.ndarray], rng: np.random.Generator, config: AudioConfig
) -> list[np.ndarray]:
  """Windows [S] of sounds that are equally loud where they are heard."""
  longest = max(part_S.size for part_S in parts)
  room = min(config.size - longest, round(_DELAY_SECONDS * config.sample_rate))
  delay = int(rng.integers(0, room + 1))
  windows = []
  for part_S in parts:
    start = delay + int(rng.integers(0, longest - part_S.size + 1))
    end = config.size - start - part_S.size
    level_S = layouts.levelled(part_S, config.sample_rate)
    windows.append(np.pad(level_S, (start, end)))
  return windows


def _parts(
  recordings: Sequence[Recording],
  sounds: Sequence[np.ndarray],
  size: int,
  rng: np.random.Generator,
  config: AudioConfig,
) -> tuple[list[np.ndarray], list[int]]:
  """At most `size` samples of each sound, and its number of events.

  0 events: unknown. Sounds that come in rows, such as steps, are repeated.
  """
  parts, counts = [], []
  for recording, audio_S in zip(recordings, sounds, strict=True):
    kind = book.kind(recording.category)
    part_S = layouts.trimmed(audio_S, config.sample_rate)
    layout = None
    if kind.rate and kind.one_shot:
      layout = layouts.repeated(part_S, size, config.sample_rate, 0.0, rng)
    if layout:
      part_S, count = layout.audio_S, len(layout.spans)
    else:
      if part_S.size > size:
        is_whole = kind.one_shot or kind.pitched
        part_S = part_S[:size] if is_whole else augment.crop(part_S, size, rng)
      padded_S = np.pad(part_S, (0, config.size - part_S.size))
      facts = describe.facts(padded_S, config.sample_rate)
      count = wording.count(facts, kind) or 0
    parts.append(part_S)
    counts.append(count)
  return parts, counts


def _record(
  name: str,
  recordings: Sequence[Recording],
  audio_S: np.ndarray,
  captions: tuple[str, ...],
  sign: str,
  config: AudioConfig,
) -> Record:
  """`sign` separates the metadata of the recordings."""

  def all_of(*texts: str) -> str:
    return sign.join(texts) if any(texts) else ""

  return Record(
    id=name,
    audio_S=to_int16(config.levelled(audio_S)),
    sample_rate=config.sample_rate,
    captions=captions,
    label=all_of(*map(label_of, recordings)),
    source=all_of(*(r.id for r in recordings)),
    title=all_of(*(r.title for r in recordings)),
    author=all_of(*(r.author for r in recordings)),
    license=all_of(*(r.license for r in recordings)),
  )
