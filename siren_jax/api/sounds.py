"""What `Siren` gives: sounds, and what it knows of a prompt."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from siren_jax.sampling import pieces
from siren_jax.weights.repertoire import Kind


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


class Closest(NamedTuple):
  """What of a bundle's kinds a prompt is near to.

  Attributes:
    kinds: the nearest first.
    is_far: whether the prompt is far from everything that the bundle knows:
      what it will make is a guess.
    margin: how much nearer it is to those kinds than to words outside, a
      difference of cosines; the prompt is far below a bundle's `far_threshold`.
  """

  kinds: tuple[Kind, ...]
  is_far: bool
  margin: float


class Batch(NamedTuple):
  """Sounds that are drawn together.

  Attributes:
    rows: prompt and sample number of each.
    pieces: their next samples. They may have more rows: the last one fills a
      batch up.
  """

  rows: list[tuple[str, int]]
  pieces: Iterator[pieces.Piece]
