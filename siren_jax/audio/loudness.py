"""How loud a sound is, and the same sound at another loudness.

Integrated loudness after EBU R 128 (ITU-R BS.1770-4), by pyloudnorm.
"""

import numpy as np

from siren_jax.common.errors import UserError

TARGET = -23.0  # LUFS, the level of EBU R 128
TARGETS = (-70.0, 0.0)  # LUFS: the gate of the standard, full scale
TRUE_PEAK = -1.0  # dBTP, the highest that EBU R 128 permits
LIMITED_DB = 9.0  # by which peaks may be turned down to reach a loudness
_FADE_SECONDS = 0.005  # a step from silence clicks
_BLOCK_SECONDS = 0.4  # of the standard; a shorter sound is one block
_OVERSAMPLING = 4  # of the standard's true peak
_ROUNDS = 4  # of a limiter, to find the gain before it


def check_target(target: float | None) -> None:
  """Refuses a loudness outside of `TARGETS`; None stands for none.

  Raises:
    UserError: the message says what there is.
  """
  low, high = TARGETS
  if target is not None and not low < target <= high:
    raise UserError(
      f"loudness {target} LUFS: must be above {low:g} and at most {high:g}, or"
      " none to leave sounds as they are"
    )


def integrated(audio_S: np.ndarray, sample_rate: int) -> float:
  """Integrated loudness in LUFS; -inf of what is below the gate, -70."""
  import pyloudnorm  # SciPy's filters take a while to import.

  # Half a sample less than a short sound lasts: rounding makes no block longer.
  seconds = min(_BLOCK_SECONDS, (len(audio_S) - 0.5) / sample_rate)
  meter = pyloudnorm.Meter(sample_rate, block_size=seconds)
  # A mean of no blocks, where all are gated, raises a warning.
  with np.errstate(divide="ignore", invalid="ignore"):
    loudness = meter.integrated_loudness(np.asarray(audio_S, np.float64))
  return float(loudness) if loudness > TARGETS[0] else -np.inf


def true_peak(audio_S: np.ndarray) -> float:
  """Largest magnitude of the waveform, between its samples too."""
  return float(_true_peaks(audio_S).max(initial=0.0))


def _true_peaks(audio_S: np.ndarray) -> np.ndarray:
  """Largest magnitude [S] at and after each sample, up to the next."""
  from scipy import signal

  finer_S = signal.resample_poly(audio_S, _OVERSAMPLING, 1)
  return np.abs(finer_S).reshape(-1, _OVERSAMPLING).max(1)


def level(
  audio_S: np.ndarray, sample_rate: int, target: float = TARGET
) -> np.ndarray:
  """The sound at a loudness, faded in and out over 5 ms, float32.

  One gain for the whole sound. Where its true peak would pass `TRUE_PEAK`, the
  peaks alone are turned down, by `LIMITED_DB` at most; a sound of peaks alone
  stays quieter than the target. Silence stays silence.
  """
  audio_S = faded(audio_S, sample_rate)
  peak = true_peak(audio_S)
  if not peak:
    return audio_S.astype(np.float32)
  audio_S = audio_S / peak  # so that how faint it was does not matter
  gain = _amplitude(target - integrated(audio_S, sample_rate))
  most = _amplitude(TRUE_PEAK + LIMITED_DB)
  for _ in range(_ROUNDS):
    levelled_S = _limited(min(gain, most) * audio_S, sample_rate)
    short = target - integrated(levelled_S, sample_rate)
    if gain >= most or not 0.1 < short < np.inf:
      break
    gain *= _amplitude(short)  # what the limiter took
  return levelled_S.astype(np.float32)


def _limited(audio_S: np.ndarray, sample_rate: int) -> np.ndarray:
  """The sound below `TRUE_PEAK`: peaks are turned down, the rest stays."""
  from scipy import ndimage

  limit = _amplitude(TRUE_PEAK)
  peak_S = _true_peaks(audio_S)
  if peak_S.max(initial=0.0) <= limit:
    return audio_S
  # The mean of what no sample nearby may pass lets no sample pass.
  size = 2 * round(_FADE_SECONDS * sample_rate) + 1
  gain_S = np.minimum(1.0, limit / np.maximum(peak_S, limit))
  gain_S = ndimage.minimum_filter1d(gain_S, size, mode="nearest")
  audio_S = audio_S * ndimage.uniform_filter1d(gain_S, size, mode="nearest")
  return audio_S * min(1.0, limit / true_peak(audio_S))


def _amplitude(decibels: float) -> float:
  return 10 ** (decibels / 20)


def faded(audio_S: np.ndarray, sample_rate: int) -> np.ndarray:
  """The sound with ends that rise from and fall to zero within 5 ms."""
  size = min(round(_FADE_SECONDS * sample_rate), len(audio_S) // 2)
  rise = np.sin(np.linspace(0, np.pi / 2, size, endpoint=False)) ** 2
  shape_S = np.ones(len(audio_S))
  shape_S[:size], shape_S[len(audio_S) - size :] = rise, rise[::-1]
  return audio_S * shape_S
