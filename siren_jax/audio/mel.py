"""Log mel spectra as librosa and torchlibrosa have them.

What networks of others were trained on; our own hear by `codec.stft`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.signal import get_window

from siren_jax.common.mesh import by_rows

_FLOOR = 1e-10


def frames(x, size: int, hop: int):
  """Frames [..., T, size] every `hop`, as many as fit; NumPy or JAX."""
  starts = hop * np.arange(1 + (x.shape[-1] - size) // hop)
  return x[..., starts[:, None] + np.arange(size)]


def hann(size: int) -> np.ndarray:
  """Periodic Hann window, float32 [size]."""
  return get_window("hann", size).astype("f4")


def decibels(
  audio_BxS: jax.Array,
  sample_rate: int,
  window: int,
  hop: int,
  num_mels: int,
  low: float,
  high: float,
  htk: bool = False,
) -> jax.Array:
  """Mel power in dB [B, 1 + S/hop, M], frames centred, ends reflected.

  Filters are Slaney's, of equal area; or HTK's, of equal height.
  """
  half = window // 2
  audio = jnp.pad(audio_BxS, ((0, 0), (half, half)), mode="reflect")
  framed = frames(audio, window, hop) * hann(window)
  spectra = by_rows(jnp.fft.rfft, framed)
  power = spectra.real**2 + spectra.imag**2
  mel = power @ filters(sample_rate, window, num_mels, low, high, htk)
  return 10 * jnp.log10(jnp.maximum(mel, _FLOOR))


@functools.lru_cache
def filters(
  sample_rate: int,
  window: int,
  num_mels: int,
  low: float,
  high: float,
  htk: bool = False,
) -> np.ndarray:
  """Mel filters [window/2 + 1, M]; Slaney's, or HTK's (see `decibels`)."""
  import librosa  # Takes a second to import.

  return librosa.filters.mel(
    sr=sample_rate,
    n_fft=window,
    n_mels=num_mels,
    fmin=low,
    fmax=high,
    htk=htk,
    norm=None if htk else "slaney",
  ).T
