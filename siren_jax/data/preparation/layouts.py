"""Short sounds laid out in time: one several times, several in order.

A layout ends with its last sound; the silence after it is not stored.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from siren_jax.data import augment
from siren_jax.data.captions import describe

MOST_TAKES = 6
TAKE = augment.AugmentConfig(gain_db=(-3.0, 0.0), speed=(0.98, 1.02))
_MIN_GAP_SECONDS = 0.12
_UNEVEN = 0.3  # share of layouts of three takes or more
_SILENT_DB = -50.0  # of the loudest frame; what is below at the ends is cut
_FRAME_SECONDS = 0.01  # of describe.frame_power
_STEADY_DB = 12.0  # most difference of loud and quiet frames of a steady sound
_STEADY_SECONDS = 1.0  # minimum length of a steady sound
_SMOOTH_FRAMES = 20
_ORDER_GAPS = (0.1, 0.4)  # seconds between sounds that follow each other
_FADE_SECONDS = 0.02
_LEVEL = 0.1  # root mean square of each of them, where it is not silent


@dataclasses.dataclass(frozen=True)
class Layout:
  """A sound several times, one after the other.

  Attributes:
    audio_S: all of it.
    spans: (start, end) of each take in seconds.
    even: whether the takes begin at regular intervals.
  """

  audio_S: np.ndarray
  spans: tuple[tuple[float, float], ...]
  even: bool

  @property
  def rate_hz(self) -> float | None:
    """Takes a second, where they are regular: of three or more."""
    if not self.even or len(self.spans) < 3:
      return None
    return (len(self.spans) - 1) / (self.spans[-1][0] - self.spans[0][0])


def repeated(
  audio_S: np.ndarray,
  size: int,
  sample_rate: int,
  gap_seconds: float,
  rng: np.random.Generator,
) -> Layout | None:
  """Two to six takes with gaps within `size` samples; None: no room for two.

  Takes differ a little in level and speed.

  Args:
    audio_S: one take.
    size: the most samples.
    sample_rate: Hz.
    gap_seconds: least silence between two takes.
    rng: the source of every choice.
  """
  audio_S = trimmed(audio_S, sample_rate)
  gap = round(max(gap_seconds, _MIN_GAP_SECONDS) * sample_rate)
  longest = math.ceil(audio_S.size / min(TAKE.speed)) + 1
  fitting = min(MOST_TAKES, (size + gap) // (longest + gap))
  if fitting < 2:
    return None
  count = int(rng.integers(2, fitting + 1))
  room = size - count * longest - (count - 1) * gap  # beyond the least gaps
  even = count < 3 or rng.random() >= _UNEVEN
  if even:
    more_I = np.full(count - 1, room * rng.random() / (count - 1))
  else:
    more_I = room * rng.dirichlet(np.ones(count))[: count - 1]
  starts = np.cumsum([0, *(longest + gap + more_I.astype(int))])
  out_S = np.zeros(starts[-1] + longest, np.float32)
  spans = []
  for start in starts:
    take_S = _take(audio_S, rng)
    out_S[start : start + take_S.size] = take_S
    spans.append((start / sample_rate, (start + take_S.size) / sample_rate))
  end = round(spans[-1][1] * sample_rate)
  return Layout(out_S[:end], tuple(spans), even)


def is_steady(audio_S: np.ndarray, sample_rate: int) -> bool:
  """Whether a sound has a steady level, so that it can be looped."""
  power_T = describe.frame_power(audio_S, sample_rate)
  if len(power_T) * _FRAME_SECONDS < _STEADY_SECONDS:
    return False
  smooth = np.ones(_SMOOTH_FRAMES) / _SMOOTH_FRAMES
  level_T = 10 * np.log10(np.convolve(power_T, smooth, "valid") + 1e-12)
  low, high = np.percentile(level_T, (2, 98))
  return bool(high - low < _STEADY_DB)


def in_order(
  sounds: Sequence[np.ndarray], sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
  """One sound after the other, equally loud, with short gaps between."""
  parts = []
  for audio_S in sounds:
    gap = round(augment.uniform(_ORDER_GAPS, rng) * sample_rate)
    parts += [levelled(_faded(audio_S, sample_rate), sample_rate)]
    parts += [np.zeros(gap, np.float32)]
  return augment.limit(np.concatenate(parts[:-1]))


def share(size: int, count: int, sample_rate: int) -> int:
  """Samples for each of `count` sounds that follow each other in `size`."""
  gaps = math.ceil((count - 1) * _ORDER_GAPS[1] * sample_rate)
  return max(1, (size - gaps) // count)


def trimmed(audio_S: np.ndarray, sample_rate: int) -> np.ndarray:
  """Without the silence before and after the sound."""
  power_T = describe.frame_power(audio_S, sample_rate)
  floor = power_T.max() * 10 ** (_SILENT_DB / 10)
  active = np.flatnonzero(power_T > floor)
  if not active.size:
    return audio_S
  first, last = active[[0, -1]] * round(_FRAME_SECONDS * sample_rate)
  return audio_S[first : last + 2 * round(_FRAME_SECONDS * sample_rate)]


def _take(audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  speed = augment.uniform(TAKE.speed, rng)
  gain = augment.decibels(augment.uniform(TAKE.gain_db, rng))
  return gain * augment.change_speed(audio_S, speed).astype(np.float32)


def _faded(audio_S: np.ndarray, sample_rate: int) -> np.ndarray:
  """Falls to zero at its end: it may have been cut there."""
  fade = min(round(_FADE_SECONDS * sample_rate), audio_S.size)
  audio_S = audio_S.astype(np.float32)
  audio_S[audio_S.size - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
  return audio_S


def levelled(audio_S: np.ndarray, sample_rate: int) -> np.ndarray:
  """The sound with its audible part at one level; silence is unchanged."""
  power_T = describe.frame_power(audio_S, sample_rate)
  active_T = power_T > power_T.max() * 1e-3
  level = math.sqrt(power_T[active_T].mean()) if active_T.any() else 0.0
  return audio_S * np.float32(_LEVEL / max(level, 1e-6))
