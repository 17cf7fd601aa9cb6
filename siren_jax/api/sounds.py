"""Return types of `Siren`: sounds, batches and closest kinds."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from siren_jax.sampling import pieces
from siren_jax.weights.repertoire import Kind


class Sound(NamedTuple):
  """A sound from `Siren.sounds`.

  Attributes:
    audio_S: float32 at the bundle's sample rate.
    prompt: its prompt, "" without one. sample: its number among the prompt's
      samples.
    clap_score: cosine of expanded prompt and sound before loudness is set; None
      with a single candidate. For a sound longer than a window, the mean over
      its windows.
  """

  audio_S: np.ndarray
  prompt: str
  sample: int
  clap_score: float | None


class Closest(NamedTuple):
  """The kinds of a bundle that are closest to a prompt.

  Attributes:
    kinds: closest first.
    is_far: whether the prompt is far from everything that the bundle was
      trained on, so that its sound is a guess.
    margin: how much closer the prompt is to those kinds than to other words, a
      difference of cosines; it is far if this is below `far_threshold`.
  """

  kinds: tuple[Kind, ...]
  is_far: bool
  margin: float


class Batch(NamedTuple):
  """Sounds that are drawn together.

  Attributes:
    rows: prompt and sample number of each.
    pieces: their next samples. They may have more rows than `rows`, as padding
      of the batch.
  """

  rows: list[tuple[str, int]]
  pieces: Iterator[pieces.Piece]
