"""Short-time Fourier transforms: frames, Hann windows, inverse."""

import functools
import operator
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.common.mesh import by_rows

Array = TypeVar("Array", np.ndarray, jax.Array)
Padding = Literal["valid", "same", "center"]


@functools.lru_cache
def hann(size: int) -> np.ndarray:
  """Periodic Hann window, float32 [size]."""
  return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype("f4")


def frame(
  audio: Array,
  size: int,
  hop: int,
  padding: Padding = "same",
  pad_mode: Literal["constant", "reflect"] = "constant",
) -> Array:
  """Overlapping frames [..., T, size] of audio [..., S], one every `hop`.

  NumPy in, NumPy out; JAX arrays may be traced.

  Args:
    audio: samples along the last axis.
    size, hop: in samples.
    padding: "valid": none, as many frames as fit. "same" centres S/hop frames
      on blocks of hop samples: S and size must be multiples of hop, and
      size - hop even. "center" centres 1 + S/hop frames (rounded down) on every
      hop-th sample, as librosa and torch do.
    pad_mode: zeros or reflected audio beyond the ends.
  """
  xp: Any = np if isinstance(audio, np.ndarray) else jnp
  pad = {"valid": 0, "same": (size - hop) // 2, "center": size // 2}[padding]
  if pad:
    edges = [(0, 0)] * (audio.ndim - 1) + [(pad, pad)]
    audio = xp.pad(audio, edges, mode=pad_mode)
  count = 1 + (audio.shape[-1] - size) // hop
  if xp is np or size % hop:
    starts = hop * np.arange(count)
    return audio[..., starts[:, None] + np.arange(size)]
  # Slices of blocks: XLA's gathers and their gradients, scatters, are slow.
  num = size // hop
  blocks = audio[..., : (count + num - 1) * hop]
  blocks = blocks.reshape(*audio.shape[:-1], -1, hop)
  return xp.concatenate([blocks[..., i : i + count, :] for i in range(num)], -1)


def stft(
  audio_BxS: jax.Array,
  size: int,
  hop: int,
  padding: Padding = "same",
  pad_mode: Literal["constant", "reflect"] = "constant",
  fft_size: int | None = None,
) -> jax.Array:
  """Complex spectra [B, T, fft_size/2 + 1] of Hann-windowed frames.

  Frames are those of `frame`, followed by zeros up to `fft_size` (`size` if
  None) samples.
  """
  windowed = frame(audio_BxS, size, hop, padding, pad_mode) * hann(size)
  return by_rows(functools.partial(jnp.fft.rfft, n=fft_size), windowed)


def power(spectra: Array) -> Array:
  """Squared magnitudes of complex spectra."""
  return spectra.real**2 + spectra.imag**2


def overlap_add(frames_BxTxW: jax.Array | np.ndarray, hop: int) -> jax.Array:
  """Overlap-add of "same" frames, the transpose of `frame`.

  Returns:
    Audio [B, T * hop].
  """
  batch, count, size = frames_BxTxW.shape
  num = size // hop
  blocks = frames_BxTxW.reshape(batch, count, num, hop)
  total = functools.reduce(
    operator.add,
    (
      jnp.pad(blocks[:, :, i], ((0, 0), (i, num - 1 - i), (0, 0)))
      for i in range(num)
    ),
  )
  pad = (size - hop) // 2
  return total.reshape(batch, -1)[:, pad : pad + count * hop]


def istft(
  spectra_BxTxW: jax.Array,
  size: int,
  hop: int,
  mask_T: jax.Array | None = None,
) -> jax.Array:
  """Least-squares inverse of `stft` with "same" frames: audio [B, T * hop].

  Frames where `mask_T` is false are ignored.
  """
  window: Any = hann(size)
  if mask_T is not None:
    window = jnp.where(mask_T[:, None], window, 0)
  frames = by_rows(jnp.fft.irfft, spectra_BxTxW) * window
  weight = jnp.broadcast_to(window**2, (1, *frames.shape[1:]))
  return overlap_add(frames, hop) / jnp.maximum(overlap_add(weight, hop), 1e-3)
