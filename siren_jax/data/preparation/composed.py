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

MIXED = augment.AugmentConfig(
  shift_seconds=1.0, fit="silence", mix_db=(-6.0, 3.0)
)
COUNTS = (2, 3)  # of sounds in a sequence, fewest and most


def mixture(
  name: str,
  recordings: Sequence[Recording],
  sounds: Sequence[np.ndarray],
  rng: np.random.Generator,
  config: AudioConfig,
) -> Record:
  """Two recordings at once, of which `sounds` are the audio."""
  parts, counts = _parts(recordings, sounds, config.size, rng, config)
  first_S, second_S = (
    augment.vary(part_S, config.size, config.sample_rate, MIXED, rng)
    for part_S in parts
  )
  level_db = augment.uniform(MIXED.mix_db, rng)
  first, second = recordings
  captions = phrasebook.mixture_captions(
    first.category, second.category, rng, config.captions, counts
  )
  audio_S = augment.mix(first_S, second_S, level_db)
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
