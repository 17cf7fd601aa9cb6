"""Measured facts about a recording that a caption may state.

Our design. Unreliable facts are left out (None, or no events), so that captions
never guess. Axis T: frames of 10 ms.
"""

import dataclasses

import chex
import numpy as np

from siren_jax.data.captions.pitch import Pitch, estimate_pitch

_FRAME_SECONDS = 0.02
_HOP_SECONDS = 0.01
_ACTIVE_DB = 30.0  # frames within this of the loudest count as sound
_EVENT_START_DB = 14.0  # an event rises to within this of the loudest frame,
_EVENT_END_DB = 22.0  # lasts until it falls below this,
_EVENT_CONTRAST_DB = 30.0  # and the floor between events is this far down
# Events are counted only if these thresholds find the same number.
_STRICT_START_DB, _STRICT_END_DB = 9.0, 15.0
_SHORT_SECONDS, _LONG_SECONDS = 0.4, 3.0
_LOUD_DBFS, _QUIET_DBFS = -14.0, -32.0
_RATE_RANGE_HZ = (0.7, 12.0)
_RATE_CLARITY = 0.45  # least autocorrelation of the envelope at the period
_SILENT_DBFS = -100.0


@dataclasses.dataclass(frozen=True)
class Facts:
  """What was measured in one recording.

  Attributes:
    loudness_dbfs: mean power of the active part; None if the sound's loudness
      was normalised.
    active_fraction: share of the time within 30 dB of the loudest moment.
    centroid_hz: centre of the power spectrum of the active part.
    events: (start, end) in seconds of the separate bursts; empty when the
      sound is continuous or its bursts do not stand out.
    rate_hz: bursts per second when they are regular, else None.
    seconds: from the beginning to the end of the active part; 0: not known.
    rest_seconds: of silence after the active part.
    pitch: of a sound that has one, note or glide.
    takes: number of repetitions laid out in the recording; 0: none.
    even: whether its takes begin at regular intervals.
  """

  loudness_dbfs: float | None
  active_fraction: float
  centroid_hz: float
  events: tuple[tuple[float, float], ...]
  rate_hz: float | None
  seconds: float = 0.0
  rest_seconds: float = 0.0
  pitch: Pitch | None = None
  takes: int = 0
  even: bool = False

  @property
  def level(self) -> str | None:
    """'loud', 'quiet', or None in between."""
    if self.loudness_dbfs is None:
      return None
    if self.loudness_dbfs > _LOUD_DBFS:
      return "loud"
    return "quiet" if self.loudness_dbfs < _QUIET_DBFS else None

  @property
  def length(self) -> str | None:
    """'short', 'long', or None in between."""
    if self.seconds > _LONG_SECONDS:
      return "long"
    return "short" if 0 < self.seconds < _SHORT_SECONDS else None

  def count(self, gap_seconds: float = 0.0) -> int:
    """How many events, those closer than `gap_seconds` taken as one."""
    starts = [start for start, _ in self.events[1:]]
    ends = [end for _, end in self.events[:-1]]
    gaps = [start - end for start, end in zip(starts, ends, strict=True)]
    return sum(g >= gap_seconds for g in gaps) + bool(self.events)


def facts(audio_S: np.ndarray, sample_rate: int) -> Facts:
  """Measures `audio_S`, mono in [-1, 1]; silence gives no events."""
  chex.assert_rank(audio_S, 1)
  power_T = frame_power(audio_S, sample_rate)
  level_T = 10 * np.log10(power_T + 1e-12)
  peak = float(level_T.max())
  if peak < _SILENT_DBFS:
    return Facts(_SILENT_DBFS, 0.0, 0.0, (), None)
  active_T = level_T > peak - _ACTIVE_DB
  first, last = np.flatnonzero(active_T)[[0, -1]]
  return Facts(
    loudness_dbfs=float(10 * np.log10(power_T[active_T].mean())),
    active_fraction=float(active_T.mean()),
    centroid_hz=_centroid(audio_S, sample_rate),
    events=_events(level_T - peak),
    rate_hz=_rate(level_T - peak),
    seconds=float(last + 1 - first) * _HOP_SECONDS,
    rest_seconds=float(len(level_T) - 1 - last) * _HOP_SECONDS,
    pitch=estimate_pitch(audio_S, sample_rate),
  )


def frame_power(audio_S: np.ndarray, sample_rate: int) -> np.ndarray:
  """Mean power of 20 ms frames, one every 10 ms; padded to a frame at least."""
  size = max(1, round(_FRAME_SECONDS * sample_rate))
  hop = max(1, round(_HOP_SECONDS * sample_rate))
  audio_S = np.pad(audio_S, (0, max(0, size - len(audio_S))))
  sums_S = np.concatenate([[0.0], np.cumsum(np.square(audio_S, dtype=float))])
  starts = np.arange(0, len(audio_S) - size + 1, hop)
  return np.maximum(0.0, sums_S[starts + size] - sums_S[starts]) / size


def _centroid(audio_S: np.ndarray, sample_rate: int) -> float:
  power = np.abs(np.fft.rfft(audio_S)) ** 2
  freqs = np.fft.rfftfreq(len(audio_S), 1 / sample_rate)
  return float((power * freqs).sum() / max(power.sum(), 1e-12))


def bursts(
  level_T: np.ndarray, start_db: float, end_db: float
) -> list[tuple[int, int]]:
  """(first, end) frames of stretches that rise above `start_db`.

  Each lasts until the level falls below `end_db` (lower), so that ripples
  do not split it.
  """
  stretches = []
  start = None
  for t, level in enumerate([*level_T, -np.inf]):
    if start is None and level > start_db:
      start = t
    elif start is not None and level < end_db:
      stretches.append((start, t))
      start = None
  return stretches


def regular_rate(level_T: np.ndarray) -> tuple[float, float]:
  """Onsets per second, and how regular they are (0 to 1).

  The first good peak of the autocorrelation of the rises in level (dB, one
  frame every 10 ms), from the first rise to the last. (0, 0): no rate.
  """
  onset_T = np.maximum(0.0, np.diff(np.maximum(level_T, -_ACTIVE_DB - 10)))
  onset_T = np.convolve(onset_T, np.hanning(7), mode="same")
  if onset_T.max() <= 0:
    return 0.0, 0.0
  strong = np.flatnonzero(onset_T > 0.2 * onset_T.max())
  onset_T = onset_T[max(strong[0] - 5, 0) : strong[-1] + 6]
  spread = min(part.sum() for part in np.array_split(onset_T, 3))
  if spread < 0.1 * onset_T.sum() or len(onset_T) * _HOP_SECONDS < 0.3:
    return 0.0, 0.0  # one event, or most of it in one place: no rate
  onset_T = onset_T - onset_T.mean()
  size = len(onset_T)
  corr_T = np.fft.irfft(np.abs(np.fft.rfft(onset_T, 2 * size)) ** 2)[:size]
  low, high = (round(1 / (r * _HOP_SECONDS)) for r in _RATE_RANGE_HZ[::-1])
  high = min(high, size // 2)
  if corr_T[0] <= 0 or high <= low + 1:
    return 0.0, 0.0
  corr_T = corr_T / corr_T[0] * size / np.arange(size, 0, -1)
  best = low + int(np.argmax(corr_T[low:high]))
  # Two periods correlate as well as one: take the shortest that is as good.
  good = [
    t
    for t in range(low, best)
    if corr_T[t] > 0.75 * corr_T[best]
    and corr_T[t] >= corr_T[max(t - 3, 0) : t + 4].max()
  ]
  lag = good[0] if good else best
  # A parabola through the peak: 10 ms is coarse for a fast rate.
  left, mid, right = corr_T[lag - 1 : lag + 2]
  curve = left - 2 * mid + right
  shift = np.clip(0.5 * (left - right) / curve, -0.5, 0.5) if curve < 0 else 0.0
  rate = 1 / ((lag + shift) * _HOP_SECONDS)
  return float(rate), float(np.clip(corr_T[lag], 0.0, 1.0))


def _events(level_T: np.ndarray) -> tuple[tuple[float, float], ...]:
  """Bursts in a level relative to its peak (dB), if they stand out.

  None if their number depends on the threshold.
  """
  if np.percentile(level_T, 15) > -_EVENT_CONTRAST_DB:
    return ()
  frames = bursts(level_T, -_EVENT_START_DB, -_EVENT_END_DB)
  strict = bursts(level_T, -_STRICT_START_DB, -_STRICT_END_DB)
  if len(strict) != len(frames):
    return ()
  return tuple((a * _HOP_SECONDS, b * _HOP_SECONDS) for a, b in frames)


def _rate(level_T: np.ndarray) -> float | None:
  rate, regularity = regular_rate(level_T)
  return rate if regularity > _RATE_CLARITY else None
