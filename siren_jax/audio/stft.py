"""Short-time Fourier transforms by reshaping: no gather, no convolution."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.common.mesh import by_rows


@functools.lru_cache
def hann(size: int) -> np.ndarray:
  """Periodic Hann window, float32 [size]."""
  return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype("f4")


def frame(x_BxS: jax.Array, size: int, hop: int) -> jax.Array:
  """Overlapping frames [B, S/hop, size], centred, zeros beyond the ends.

  S and size must be multiples of hop, and size - hop even.
  """
  pad, num = (size - hop) // 2, size // hop
  blocks = jnp.pad(x_BxS, ((0, 0), (pad, pad))).reshape(len(x_BxS), -1, hop)
  count = blocks.shape[1] - num + 1
  return jnp.concatenate([blocks[:, i : i + count] for i in range(num)], -1)


def stft(x_BxS: jax.Array, size: int, hop: int) -> jax.Array:
  """Complex spectra [B, S/hop, size/2 + 1] of Hann-windowed frames."""
  return by_rows(jnp.fft.rfft, frame(x_BxS, size, hop) * hann(size))


def overlap_add(frames_BxTxW: jax.Array, hop: int) -> jax.Array:
  """Sum of frames at their places, the inverse walk of `frame`: [B, T*hop]."""
  batch, count, size = frames_BxTxW.shape
  num = size // hop
  blocks = frames_BxTxW.reshape(batch, count, num, hop)
  total = sum(
    jnp.pad(blocks[:, :, i], ((0, 0), (i, num - 1 - i), (0, 0)))
    for i in range(num)
  )
  pad = (size - hop) // 2
  return total.reshape(batch, -1)[:, pad : pad + count * hop]


def istft(spectra_BxTxW: jax.Array, size: int, hop: int) -> jax.Array:
  """Least-squares inverse of `stft`: audio [B, T*hop]."""
  frames = by_rows(jnp.fft.irfft, spectra_BxTxW) * hann(size)
  weight = np.broadcast_to(hann(size) ** 2, (1, frames.shape[1], size))
  return overlap_add(frames, hop) / jnp.maximum(overlap_add(weight, hop), 1e-3)


@functools.lru_cache
def mel_matrix(num_mels: int, fft_size: int, sample_rate: int) -> np.ndarray:
  """Triangular mel filters [fft_size/2 + 1, num_mels], each summing to one.

  HTK mel scale, from 0 Hz to half the sample rate. A filter narrower than a
  bin takes the nearest one, so that no band is empty.
  """
  bins = np.linspace(0, sample_rate / 2, fft_size // 2 + 1)
  top = 2595 * np.log10(1 + sample_rate / 2 / 700)
  edges = 700 * (10 ** (np.linspace(0, top, num_mels + 2) / 2595) - 1)
  low, mid, high = edges[:-2], edges[1:-1], edges[2:]
  rising = (bins[:, None] - low) / (mid - low)
  falling = (high - bins[:, None]) / (high - mid)
  weights = np.maximum(0, np.minimum(rising, falling))
  nearest = np.abs(bins[:, None] - mid).argmin(0)
  empty = weights.sum(0) == 0
  weights[nearest[empty], np.flatnonzero(empty)] = 1
  return (weights / weights.sum(0)).astype("f4")
