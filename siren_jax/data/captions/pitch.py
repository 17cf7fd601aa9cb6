"""The pitch of a recording, where it has one.

Normalised square difference of frames (McLeod and Wyvill, "A smarter way to
find pitch", 2005). Axes: T frames, W samples of a frame or lags.
"""

import dataclasses

import numpy as np

_FRAME_SECONDS = 0.08
_HOP_SECONDS = 0.04
_MAX_SECONDS = 5.0  # that are looked at
_RANGE_HZ = (35.0, 2500.0)
_PERIODIC = 0.9  # least clarity of a frame with a pitch, of 1
_FIRST_PEAK = 0.9  # of the highest: the shortest period as good as any
_ACTIVE_DB = 25.0  # frames within this of the loudest count
_VOICED = 0.7  # share of them that must have a pitch
_STEADY_SEMITONES = 0.5  # of a note: spread of its frames
_GLIDE_SEMITONES = 4.0  # of a glide, at least
_GLIDE_STEP = 3.0  # semitones from frame to frame, at most: no jumps
_GLIDE_SHARE = 0.85  # of its steps go its way
_MIN_FRAMES = 3
_A4_HZ, _A4 = 440.0, 69


@dataclasses.dataclass(frozen=True)
class Pitch:
  """Pitch of one sound.

  Attributes:
    hz: its median.
    glide: "rising", "falling", or "" of a note that holds its pitch.
  """

  hz: float
  glide: str = ""

  @property
  def midi(self) -> float:
    """As a MIDI number, 69 of 440 Hz."""
    return _A4 + 12 * float(np.log2(self.hz / _A4_HZ))


def estimate_pitch(audio_S: np.ndarray, sample_rate: int) -> Pitch | None:
  """The pitch of a sound that holds one or glides in one direction.

  None of all others: noise, speech, melodies, chords.
  """
  size = round(_FRAME_SECONDS * sample_rate)
  hop = round(_HOP_SECONDS * sample_rate)
  audio_S = audio_S[: round(_MAX_SECONDS * sample_rate)]
  if len(audio_S) < size:
    return None
  frames_TxW = np.lib.stride_tricks.sliding_window_view(audio_S, size)[::hop]
  power_T = np.square(frames_TxW, dtype=float).mean(1)
  active_T = power_T > power_T.max() * 10 ** (-_ACTIVE_DB / 10)
  semitones_T, clarity_T = _semitones(frames_TxW[active_T], sample_rate)
  voiced_T = clarity_T > _PERIODIC
  if voiced_T.sum() < max(_MIN_FRAMES, _VOICED * len(voiced_T)):
    return None
  return _pitch(semitones_T[voiced_T])


def _pitch(semitones_T: np.ndarray) -> Pitch | None:
  """Of frames that have a pitch, in semitones from A4."""
  hz = _A4_HZ * 2 ** (float(np.median(semitones_T)) / 12)
  low, high = np.percentile(semitones_T, (10, 90))
  if high - low < 2 * _STEADY_SEMITONES:
    return Pitch(hz)
  step_T = np.diff(semitones_T)
  change = float(step_T.sum())
  share = np.mean(np.sign(step_T) == np.sign(change))
  jump = np.abs(step_T).max()
  if abs(change) < _GLIDE_SEMITONES or jump > _GLIDE_STEP:
    return None
  if share < _GLIDE_SHARE:
    return None
  return Pitch(hz, "rising" if change > 0 else "falling")


def _semitones(
  frames_TxW: np.ndarray, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
  """Semitones from A4 [T], and how periodic each frame is [T], at most 1."""
  low, high = (round(sample_rate / hz) for hz in _RANGE_HZ[::-1])
  high = min(high, frames_TxW.shape[1] - 2)
  nsdf_TxW = _nsdf(frames_TxW)[:, : high + 2]
  semitones_T, clarity_T = np.zeros((2, len(frames_TxW)))
  for t, nsdf_W in enumerate(nsdf_TxW):
    inside_W = nsdf_W[1:-1]
    top_W = (inside_W > nsdf_W[:-2]) & (inside_W >= nsdf_W[2:])
    lags = 1 + np.flatnonzero(top_W & (inside_W > 0))
    lags = lags[lags >= max(2, low)]
    if not lags.size:
      continue
    lag = lags[np.argmax(nsdf_W[lags] >= _FIRST_PEAK * nsdf_W[lags].max())]
    left, mid, right = nsdf_W[lag - 1 : lag + 2]
    shift = 0.5 * (left - right) / min(left - 2 * mid + right, -1e-9)
    period = lag + float(np.clip(shift, -0.5, 0.5))
    semitones_T[t] = 12 * np.log2(sample_rate / period / _A4_HZ)
    clarity_T[t] = mid
  return semitones_T, clarity_T


def _nsdf(frames_TxW: np.ndarray) -> np.ndarray:
  """Autocorrelation over the power of the samples that overlap, by lag."""
  size = frames_TxW.shape[1]
  frames_TxW = frames_TxW - frames_TxW.mean(1, keepdims=True)
  spectrum = np.fft.rfft(frames_TxW, 2 * size)
  corr_TxW = np.fft.irfft(np.abs(spectrum) ** 2)[:, :size]
  power_TxW = np.cumsum(frames_TxW.astype(float) ** 2, axis=1)
  total_T = power_TxW[:, -1:]
  # Of the first size - lag samples, and of the last ones.
  head_TxW = power_TxW[:, ::-1]
  tail_TxW = total_T - np.pad(power_TxW, ((0, 0), (1, 0)))[:, :-1]
  return 2 * corr_TxW / np.maximum(head_TxW + tail_TxW, 1e-12)
