"""Sounds of any length in windows of one length: the same codes and audio.

A window reaches beyond its share by as many frames as a frame's result
depends on, so nothing is lost at the seams; memory does not grow with length,
and one program serves all windows.
"""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from siren_jax.codec import model as codec_model
from siren_jax.codec.model import Codec

FRAMES = 1000  # of a window's share


def encode(
  codec: Codec, audio_BxS: np.ndarray, frames: int = FRAMES
) -> np.ndarray:
  """As `codec.encode`: codes [B, N, T] int32 of audio [B, S]."""
  hop = codec.config.hop
  total = -(-audio_BxS.shape[1] // hop)
  padded = np.pad(audio_BxS, ((0, 0), (0, total * hop - audio_BxS.shape[1])))

  def window(start: int, stop: int) -> jax.Array:
    return codec.encode(padded[:, start * hop : stop * hop])

  return _join(codec, window, total, frames, 1)


def decode(
  codec: Codec, codes_BxNxT: np.ndarray, frames: int = FRAMES
) -> np.ndarray:
  """As `codec.decode`: audio [B, T * hop] of codes [B, N, T]."""

  def window(start: int, stop: int) -> jax.Array:
    return codec.decode(codes_BxNxT[..., start:stop], start)

  return _join(codec, window, codes_BxNxT.shape[2], frames, codec.config.hop)


def _join(
  codec: Codec,
  window: Callable[[int, int], jax.Array],
  total: int,
  frames: int,
  step: int,
) -> np.ndarray:
  """Every window's share, `step` values a frame, along the last axis."""
  reach = codec_model.module(codec.config).reach
  return np.concatenate(
    [
      np.asarray(window(start, stop))[..., low * step : high * step]
      for start, stop, low, high in _windows(total, frames, reach)
    ],
    -1,
  )


def _windows(
  total: int, frames: int, reach: int
) -> Iterator[tuple[int, int, int, int]]:
  """(start, stop) of each window, and where in it its share lies."""
  length = min(total, frames + 2 * reach)
  for first in range(0, total, frames):
    start = min(max(first - reach, 0), total - length)
    last = min(first + frames, total)
    yield start, start + length, first - start, last - start
