"""Resampling: soxr for files, torchaudio's method for third-party networks."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from siren_jax.audio import stft
from siren_jax.audio.stft import Array
from siren_jax.common.precision import exact

_SOXR_QUALITY = "HQ"
# Of torchaudio's filter: half its width, its cutoff in Nyquist frequencies.
_CROSSINGS = 6
_ROLLOFF = 0.99


def resample_soxr(audio_S: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
  """Band-limited resampling (soxr, high quality), float32."""
  import soxr  # not needed by models, which run with JAX alone

  return soxr.resample(audio_S, rate, new_rate, quality=_SOXR_QUALITY)


def soxr_stream(rate: int, new_rate: int) -> Callable[..., np.ndarray]:
  """`resample_soxr` of mono blocks, each given as `(block_S, last=False)`."""
  import soxr

  stream = soxr.ResampleStream(rate, new_rate, 1, "float32", _SOXR_QUALITY)
  return stream.resample_chunk


def resampled_size(size: Any, rate: int, new_rate: int) -> Any:
  """Output length of `resample` for `size` samples, an int or traced scalar."""
  common = math.gcd(rate, new_rate)
  old, new = rate // common, new_rate // common
  # In two parts: `new * size` may overflow int32.
  return size // old * new - (-(size % old) * new // old)


@exact
def resample(audio: Array, rate: int, new_rate: int) -> Array:
  """Audio [..., ceil(S * new_rate / rate)], resampled as torchaudio's default.

  A sinc six zero crossings wide with a squared-cosine window, at 99 % of the
  lower Nyquist frequency. NumPy in, NumPy out; JAX arrays may be traced.
  """
  if rate == new_rate:
    return audio
  xp: Any = np if isinstance(audio, np.ndarray) else jnp
  common = math.gcd(rate, new_rate)
  old, new = rate // common, new_rate // common
  filters, width = _filters(old, new)
  *lead, size = audio.shape
  edges = [(0, 0)] * len(lead) + [(width, width + old)]
  padded = xp.pad(audio.astype(np.float32), edges)
  frames = stft.frame(padded, len(filters), old, "valid")
  resampled = (frames @ filters).reshape(*lead, -1)
  return resampled[..., : resampled_size(size, rate, new_rate)]


@functools.lru_cache
def _filters(old: int, new: int) -> tuple[np.ndarray, int]:
  """A filter for each of `new` phases [taps, new], and their half width."""
  cutoff = _ROLLOFF * min(old, new)
  width = math.ceil(_CROSSINGS * old / cutoff)
  taps = np.arange(-width, width + old)[:, None] / old
  time = cutoff * (taps - np.arange(new) / new)
  window = np.cos(np.clip(time / _CROSSINGS, -1, 1) * np.pi / 2) ** 2
  return (np.sinc(time) * window * cutoff / old).astype("f4"), width
