"""Distances of a recording and its reconstruction: for codecs.

As the field compares codecs (Kumar et al. 2023, Descript's DAC):

mel     multi-scale mel distance: mean absolute difference of log10 mel
        magnitudes, windows of 32 to 2048 with 5 to 320 bands; the mean over
        seven scales (DAC's training loss is their sum)
stft    multi-scale STFT distance: mean absolute difference of magnitudes, and
        of their log10 power; windows of 2048 and 512, summed
si_sdr  scale-invariant signal-to-distortion ratio in dB, means removed (Le
        Roux et al. 2019); higher is better

Hann windows every quarter of their length, frames centred, ends reflected.
"""

from collections.abc import Iterator

import numpy as np

from siren_jax.audio import mel, stft
from siren_jax.common.errors import UserError

_MEL_SCALES = tuple((32 << i, 5 << i) for i in range(7))
_STFT_WINDOWS = (2048, 512)
_FLOOR = 1e-5
_TINY = 1e-8
SHORTEST = max(_STFT_WINDOWS) // 2 + 1  # samples, to be reflected at the ends


def distances(
  reference_BxS: np.ndarray, other_BxS: np.ndarray, sample_rate: int
) -> dict[str, np.ndarray]:
  """All of them by name, [B] each.

  Raises:
    UserError: shapes differ, or clips are too short for the largest window.
  """
  a, b = np.asarray(reference_BxS, "f4"), np.asarray(other_BxS, "f4")
  if a.shape != b.shape or a.ndim != 2 or a.shape[1] < SHORTEST:
    raise UserError(
      f"audio of shapes {list(a.shape)} and {list(b.shape)}: both must be"
      f" [B, S] of the same shape, with S at least {SHORTEST}"
    )
  return {
    "mel": mel_distance(a, b, sample_rate),
    "stft": stft_distance(a, b),
    "si_sdr": si_sdr(a, b),
  }


def mel_distance(
  reference_BxS: np.ndarray, other_BxS: np.ndarray, sample_rate: int
) -> np.ndarray:
  """Multi-scale mel distance [B]."""
  scales = [
    _difference(
      *(
        np.log10(np.maximum(spectra @ bands, _FLOOR))
        for spectra in _magnitudes(window, reference_BxS, other_BxS)
      )
    )
    for window, bands in (
      (window, mel.filters(sample_rate, window, num_mels))
      for window, num_mels in _MEL_SCALES
    )
  ]
  return np.mean(scales, 0)


def stft_distance(
  reference_BxS: np.ndarray, other_BxS: np.ndarray
) -> np.ndarray:
  """Multi-scale STFT distance [B]."""
  total = np.zeros(len(reference_BxS))
  for window in _STFT_WINDOWS:
    a, b = _magnitudes(window, reference_BxS, other_BxS)
    logs = (2 * np.log10(np.maximum(x, _FLOOR)) for x in (a, b))
    total += _difference(a, b) + _difference(*logs)
  return total


def si_sdr(reference_BxS: np.ndarray, other_BxS: np.ndarray) -> np.ndarray:
  """Scale-invariant signal-to-distortion ratio [B] in dB."""
  a, b = (
    np.asarray(x, np.float64) - np.mean(x, -1, keepdims=True, dtype=np.float64)
    for x in (reference_BxS, other_BxS)
  )
  overlap = np.sum(a * b, -1, keepdims=True) + _TINY
  signal = overlap / (np.sum(a * a, -1, keepdims=True) + _TINY) * a
  noise = np.sum((b - signal) ** 2, -1) + _TINY
  return 10 * np.log10(np.sum(signal**2, -1) / noise + _TINY)


def _magnitudes(window: int, *audios: np.ndarray) -> Iterator[np.ndarray]:
  """Of the STFT of each, [B, T, W]."""
  for audio_BxS in audios:
    framed = stft.frame(audio_BxS, window, window // 4, "center", "reflect")
    yield np.abs(np.fft.rfft(framed * stft.hann(window)))


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  return np.mean(np.abs(a - b), (1, 2))
