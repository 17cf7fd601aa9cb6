"""Detectors of pitch, events and steadiness; separation of mixtures.

Our design: plain measurements of level and spectrogram, for `claims`. Axes
here: T frames of 10 ms, W samples of a window or bins of its spectrum.
"""

import dataclasses
from typing import SupportsFloat

import numpy as np
from scipy import ndimage, signal

from siren_jax.data.captions import describe

HOP_SECONDS = 0.01
_WINDOW_SECONDS = 0.064
_CHROMA_WINDOW_SECONDS = 0.4
_ACTIVE_DB = -25.0  # below the loudest frame
_EVENT_START_DB, _EVENT_END_DB = -10.0, -16.0
_LASTING_DB = -18.0  # tremolo dips to -14 without ending
_INTERRUPTION = 0.6  # factor for each stretch other than the longest
_TONAL = 0.5  # tonality of a frame whose pitch can be trusted
_PROMINENCE = 12.0  # power of a click relative to its surroundings in time
_MULTIPLES = 4  # of the fundamental that make up a tone
_TONE_FLOOR = 0.15  # power of a tone's frames relative to its loudest


@dataclasses.dataclass(frozen=True)
class Analysis:
  """Measurements of one sound.

  Attributes:
    audio_S: the sound.
    sample_rate: Hz.
    level_T: dB below the loudest frame.
    power_TxW: spectrogram.
    freqs_W: Hz.
    hz_T: strongest frequency.
    tonality_T: share of the power near that frequency.
  """

  audio_S: np.ndarray
  sample_rate: int
  level_T: np.ndarray
  power_TxW: np.ndarray
  freqs_W: np.ndarray
  hz_T: np.ndarray
  tonality_T: np.ndarray

  @property
  def active_T(self) -> np.ndarray:
    return self.level_T > _ACTIVE_DB


def ramp(x: SupportsFloat, none: float, full: float) -> float:
  """0 at `none` and beyond, 1 at `full` and beyond, linear between."""
  return float(np.clip((float(x) - none) / (full - none), 0.0, 1.0))


def level(audio_S: np.ndarray, sample_rate: int) -> np.ndarray:
  """level_T in dB, 0 for the loudest frame."""
  power_T = describe.frame_power(audio_S, sample_rate)
  return 10 * np.log10(power_T / power_T.max() + 1e-9)


def analyse(audio_S: np.ndarray, sample_rate: int) -> Analysis:
  """All measurements at once."""
  level_T = level(audio_S, sample_rate)
  size = round(_WINDOW_SECONDS * sample_rate)
  hop = round(HOP_SECONDS * sample_rate)
  # Windows centred on the level's frames, which are 2 hops long.
  padded_S = np.pad(audio_S, (size // 2 - hop, size))
  frames_TxW = np.lib.stride_tricks.sliding_window_view(padded_S, size)[::hop]
  frames_TxW = frames_TxW[: len(level_T)] * np.hanning(size)
  power_TxW = np.abs(np.fft.rfft(frames_TxW, axis=1)) ** 2 + 1e-12
  freqs_W = np.fft.rfftfreq(size, 1 / sample_rate)
  best_T = power_TxW[:, 1:-1].argmax(1) + 1
  around = (power_TxW[np.arange(len(best_T)), best_T + i] for i in (-1, 0, 1))
  hz_T = (best_T + _peak_shift(*around)) * freqs_W[1]
  reach_T = np.maximum(2.2 * freqs_W[1], 0.05 * hz_T)
  near_TxW = np.abs(freqs_W - hz_T[:, None]) <= reach_T[:, None]
  tonality_T = (power_TxW * near_TxW).sum(1) / power_TxW.sum(1)
  return Analysis(
    audio_S, sample_rate, level_T, power_TxW, freqs_W, hz_T, tonality_T
  )


def _peak_shift(
  left: np.ndarray, mid: np.ndarray, right: np.ndarray
) -> np.ndarray:
  """Offset in bins of the vertex of a parabola through three log powers.

  Limited to half a bin, because the vertex is arbitrary if the middle value is
  no peak.
  """
  left, mid, right = np.log(left), np.log(mid), np.log(right)
  shift = 0.5 * (left - right) / np.minimum(left - 2 * mid + right, -1e-9)
  return np.clip(shift, -0.5, 0.5)


def events(analysis: Analysis) -> list[tuple[int, int]]:
  """(first, end) frames of sounds that stand out from near-silence."""
  return describe.bursts(analysis.level_T, _EVENT_START_DB, _EVENT_END_DB)


def inside(spans: list[tuple[int, int]], analysis: Analysis) -> np.ndarray:
  """Mask bool_T, true within `spans`, the (first, end) frames of events."""
  inside_T = np.zeros(len(analysis.level_T), bool)
  for first, end in spans:
    inside_T[first:end] = True
  return inside_T


def event_seconds(spans: list[tuple[int, int]]) -> float:
  """Median length of events given by (first, end) frames; 0 without events."""
  return float(np.median([b - a for a, b in spans] or [0])) * HOP_SECONDS


def longest(analysis: Analysis) -> tuple[int, int]:
  """(first, end) frames of the longest stretch of sound."""
  return max(_stretches(analysis), key=lambda e: e[1] - e[0])


def longest_seconds(analysis: Analysis) -> float:
  """Length of the longest stretch of sound."""
  first, end = longest(analysis)
  return (end - first) * HOP_SECONDS


def _stretches(analysis: Analysis) -> list[tuple[int, int]]:
  return describe.bursts(analysis.level_T, _LASTING_DB + 4, _LASTING_DB)


def lasting(analysis: Analysis) -> float:
  """1 for one long sound; less if it is short, broken or accompanied."""
  first, end = longest(analysis)
  share = (end - first) / max(1, analysis.active_T.sum())
  score = ramp(longest_seconds(analysis), 0.25, 0.7) * ramp(share, 0.5, 0.9)
  return score * _INTERRUPTION ** (len(_stretches(analysis)) - 1)


def steady_level(analysis: Analysis) -> float:
  """1 if loudness is steady over the longest stretch, 0 for tremolo."""
  first, end = longest(analysis)
  level_T = np.convolve(
    analysis.level_T[first:end], np.ones(5) / 5, mode="valid"
  )
  spread = np.std(level_T[5:-5]) if len(level_T) > 20 else 0.0
  return ramp(spread, 5.0, 3.0) * ramp(wobble(analysis)[0], 0.3, 0.18)


def wobble(analysis: Analysis) -> tuple[float, float]:
  """(depth, Hz) of the strongest regular change of loudness."""
  first, end = longest(analysis)
  gain_T = 10 ** (analysis.level_T[first + 5 : end - 5] / 20)
  if len(gain_T) < 30:
    return 0.0, 1.0
  window_T = np.hanning(len(gain_T))
  padded = 4 << len(gain_T).bit_length()
  beat_W = np.abs(np.fft.rfft((gain_T - gain_T.mean()) * window_T, padded))
  freqs_W = np.fft.rfftfreq(padded, HOP_SECONDS)
  low, high = np.searchsorted(freqs_W, (1.2, 16.0))
  best = low + int(beat_W[low:high].argmax())
  depth = 2 * beat_W[best] / (gain_T * window_T).sum()
  return float(depth), float(freqs_W[best])


def mean_tonality(analysis: Analysis) -> float:
  """Tonality of the active frames, weighted by power."""
  power_T = 10 ** (analysis.level_T / 10) * analysis.active_T
  return float((power_T * analysis.tonality_T).sum() / power_T.sum())


def tonal(analysis: Analysis) -> float:
  """1 for one clear pitch at a time, 0 for noise and chords."""
  return ramp(mean_tonality(analysis), 0.5, 0.72)


def pitch_track(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
  """(frames, log2 of Hz) of the frames with a clear pitch."""
  frames = np.flatnonzero(analysis.active_T & (analysis.tonality_T > _TONAL))
  return frames, np.log2(analysis.hz_T[frames])


def steady_pitch(analysis: Analysis) -> float:
  """1 if one pitch, within a semitone, lasts throughout."""
  _, pitch_T = pitch_track(analysis)
  if len(pitch_T) == 0:
    return 0.0
  near = np.abs(pitch_T - np.median(pitch_T)) < 1 / 12
  return tonal(analysis) * ramp(near.mean(), 0.5, 0.9)


def chroma(analysis: Analysis) -> np.ndarray:
  """Share of the spectral peaks' amplitude in each of 12 pitch classes.

  0 is C; tuned to A = 440 Hz; peaks between 100 and 2000 Hz.
  """
  first, end = longest(analysis)
  hop = round(HOP_SECONDS * analysis.sample_rate)
  audio_S = analysis.audio_S[first * hop : end * hop]
  size = min(len(audio_S), round(_CHROMA_WINDOW_SECONDS * analysis.sample_rate))
  freqs_W, power_W = signal.welch(audio_S, analysis.sample_rate, nperseg=size)
  peaks, _ = signal.find_peaks(power_W, height=1e-3 * power_W.max())
  peaks = peaks[(freqs_W[peaks] > 100) & (freqs_W[peaks] < 2000)]
  shift = _peak_shift(*(power_W[peaks + i] + 1e-20 for i in (-1, 0, 1)))
  midi = 69 + 12 * np.log2((peaks + shift) * freqs_W[1] / 440)
  classes = np.round(midi).astype(int) % 12
  chroma = np.bincount(classes, np.sqrt(power_W[peaks]), minlength=12)
  return chroma / max(chroma.sum(), 1e-12)


def separate(
  audio_S: np.ndarray, sample_rate: int, clicks: bool
) -> tuple[np.ndarray, np.ndarray]:
  """(foreground, background): tone and noise, or clicks and tone.

  Clicks stand out from their surroundings in time (a median filter, as in
  harmonic-percussive separation, Fitzgerald 2010). A tone is the strongest
  frequency and its multiples, in frames where they have most of the power.
  """
  size = 1 << round(np.log2((0.016 if clicks else 0.064) * sample_rate))
  transform = signal.ShortTimeFFT(np.hanning(size), size // 4, sample_rate)
  spectrum_WxT = transform.stft(audio_S)
  power_WxT = np.abs(spectrum_WxT) ** 2
  mask_WxT = (_click_mask if clicks else _tone_mask)(power_WxT)
  fore_S = transform.istft(spectrum_WxT * mask_WxT, k1=len(audio_S))
  return fore_S, audio_S - fore_S


def _click_mask(power_WxT: np.ndarray) -> np.ndarray:
  around_WxT = ndimage.median_filter(power_WxT, (1, 25))
  floor = 1e-9 * power_WxT.max()
  mask_WxT = power_WxT > _PROMINENCE * around_WxT + floor
  return ndimage.binary_dilation(mask_WxT, np.ones((1, 3)))


def _tone_mask(power_WxT: np.ndarray) -> np.ndarray:
  bins_W = np.arange(len(power_WxT))[:, None]
  best_T = power_WxT.argmax(0)
  reach_T = np.maximum(2.5, 0.05 * best_T)
  mask_WxT = np.zeros(power_WxT.shape, bool)
  for multiple in range(1, _MULTIPLES + 1):
    mask_WxT |= np.abs(bins_W - multiple * best_T) <= reach_T
  power_T = (power_WxT * mask_WxT).sum(0)
  there_T = power_T > 0.5 * power_WxT.sum(0)
  there_T &= power_T > _TONE_FLOOR * power_T.max()
  # The edges of a beep are weaker but belong to it.
  return mask_WxT & ndimage.binary_dilation(there_T, np.ones(5))
