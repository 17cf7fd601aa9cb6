"""Mel filter banks, and mel spectra in decibels.

One function makes all common filter banks, which differ in the scale of the
bands, the axis of the triangles, and the normalisation.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.audio import stft
from siren_jax.common.precision import exact

Scale = Literal["htk", "slaney"]
Norm = Literal["slaney", "sum"] | None

_FLOOR = 1e-10  # power, -100 dB
# Slaney's scale: linear below a corner, logarithmic above.
_HZ_PER_MEL, _CORNER_HZ, _LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27
_CORNER_MEL = _CORNER_HZ / _HZ_PER_MEL


def from_hz(hz: np.ndarray | float, scale: Scale) -> np.ndarray:
  """Mels of frequencies in Hz."""
  hz = np.asarray(hz, np.float64)
  if scale == "htk":
    return 2595 * np.log10(1 + hz / 700)
  octaves = np.log(np.maximum(hz, _CORNER_HZ) / _CORNER_HZ)
  above = _CORNER_MEL + octaves / _LOG_STEP
  return np.where(hz < _CORNER_HZ, hz / _HZ_PER_MEL, above)


def to_hz(mels: np.ndarray, scale: Scale) -> np.ndarray:
  """Frequencies in Hz of mels."""
  if scale == "htk":
    return 700 * (10 ** (mels / 2595) - 1)
  above = _CORNER_HZ * np.exp(_LOG_STEP * (mels - _CORNER_MEL))
  return np.where(mels < _CORNER_MEL, mels * _HZ_PER_MEL, above)


@functools.lru_cache
def filters(
  sample_rate: int,
  fft_size: int,
  num_mels: int,
  low: float = 0.0,
  high: float | None = None,
  scale: Scale = "slaney",
  norm: Norm = "slaney",
  over: Literal["hz", "mel"] = "hz",
) -> np.ndarray:
  """Triangular mel filters [fft_size/2 + 1, M], float32.

  Args:
    sample_rate: in Hz.
    fft_size: in samples.
    num_mels: number of bands M.
    low, high: ends of the bands in Hz; None is half the sample rate.
    scale: of the spacing of the bands.
    norm: "slaney" gives the triangles an area of two Hz (librosa's default);
      "sum" makes the weights of a band sum to one, and a filter narrower than a
      bin uses the nearest bin, so that no band is empty; None: triangles of
      height one.
    over: the axis over which the triangles are linear.
  """
  high = sample_rate / 2 if high is None else high
  bins = np.fft.rfftfreq(fft_size, 1 / sample_rate)
  edges = np.linspace(from_hz(low, scale), from_hz(high, scale), num_mels + 2)
  if over == "mel":
    bins = from_hz(bins, scale)
  else:
    edges = to_hz(edges, scale)
  left, middle, right = edges[:-2], edges[1:-1], edges[2:]
  rising = (bins[:, None] - left) / (middle - left)
  falling = (right - bins[:, None]) / (right - middle)
  weights = np.maximum(0, np.minimum(rising, falling))
  if norm == "sum":
    nearest = np.abs(bins[:, None] - middle).argmin(0)
    empty = weights.sum(0) == 0
    weights[nearest[empty], np.flatnonzero(empty)] = 1
    return (weights / weights.sum(0)).astype("f4")
  weights = weights.astype("f4")
  if norm == "slaney":
    weights *= 2 / (right - left)
  return weights


@exact
def bands(spectra_BxTxW: jax.Array, bank_WxM: np.ndarray) -> jax.Array:
  """Sums of magnitudes or powers [B, T, M] under each filter of a bank."""
  return spectra_BxTxW @ bank_WxM


def decibels(
  audio_BxS: jax.Array,
  sample_rate: int,
  window: int,
  hop: int,
  num_mels: int,
  low: float,
  high: float,
  scale: Scale = "slaney",
  norm: Norm = "slaney",
) -> jax.Array:
  """Mel power in dB [B, 1 + S/hop, M], as in librosa and torchlibrosa.

  Frames are centred, with the audio reflected at its ends; see `filters`.
  """
  spectra = stft.stft(audio_BxS, window, hop, "center", "reflect")
  bank = filters(sample_rate, window, num_mels, low, high, scale, norm)
  power_BxTxM = bands(stft.power(spectra), bank)
  return 10 * jnp.log10(jnp.maximum(power_BxTxM, _FLOOR))
