"""Resampling as torchaudio does by default, for scores that others compare.

A sinc, six zero crossings wide, under a squared cosine, at 99 % of the lower
Nyquist frequency. For everything else there is soxr (`data.audio.resample`).
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.audio import mel

Array = np.ndarray | jax.Array

_CROSSINGS = 6
_ROLLOFF = 0.99


def resample(audio: Array, rate: int, new_rate: int) -> Array:
  """Audio [..., ceil(S * new_rate / rate)] of `torchaudio.resample`.

  NumPy in, NumPy out; JAX arrays may be traced.
  """
  if rate == new_rate:
    return audio
  xp = np if isinstance(audio, np.ndarray) else jnp
  common = math.gcd(rate, new_rate)
  old, new = rate // common, new_rate // common
  filters, width = _filters(old, new)
  *lead, size = audio.shape
  edges = [(0, 0)] * len(lead) + [(width, width + old)]
  padded = xp.pad(audio.astype(np.float32), edges)
  made = (mel.frames(padded, len(filters), old) @ filters).reshape(*lead, -1)
  return made[..., : -(-new * size // old)]


@functools.lru_cache
def _filters(old: int, new: int) -> tuple[np.ndarray, int]:
  """A filter for each of `new` phases [taps, new], and their half width."""
  cutoff = _ROLLOFF * min(old, new)
  width = math.ceil(_CROSSINGS * old / cutoff)
  taps = np.arange(-width, width + old)[:, None] / old
  time = cutoff * (taps - np.arange(new) / new)
  window = np.cos(np.clip(time / _CROSSINGS, -1, 1) * np.pi / 2) ** 2
  return (np.sinc(time) * window * cutoff / old).astype("f4"), width
