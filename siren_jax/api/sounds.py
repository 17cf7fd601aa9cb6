"""What `Siren` makes: whole sounds, and those drawn together."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from siren_jax.sampling import pieces


class Sound(NamedTuple):
  """A sound that `Siren.sounds` made.

  Attributes:
    audio_S: float32 at the bundle's sample rate.
    prompt: what it was drawn for, "" without words. sample: its number among
      that prompt's.
    clap_score: cosine of prompt and sound, as the codec gave it; None where
      there was nothing to choose from. Of a sound longer than a window, the
      mean over its windows.
  """

  audio_S: np.ndarray
  prompt: str
  sample: int
  clap_score: float | None


class Batch(NamedTuple):
  """Sounds that are drawn together.

  Attributes:
    rows: prompt and sample number of each.
    pieces: their next samples. They may have more rows: the last one fills a
      batch up.
  """

  rows: list[tuple[str, int]]
  pieces: Iterator[pieces.Piece]
