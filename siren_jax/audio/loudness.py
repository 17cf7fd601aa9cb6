"""Measuring and changing the loudness of a sound.

Integrated loudness after EBU R 128 (ITU-R BS.1770-4). A sound is an array, or
anything else that returns samples by slices (`Samples`): a sound on disk is
never completely in memory.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from siren_jax.common.errors import UserError

TARGET = -23.0  # LUFS, the level of EBU R 128
TARGETS = (-70.0, 0.0)  # LUFS: the gate of the standard, full scale
TRUE_PEAK = -1.0  # dBTP, the highest that EBU R 128 permits
LIMITED_DB = 9.0  # most reduction of peaks to reach a loudness
GAINS = (-60.0, 60.0)  # dB
_FADE_SECONDS = 0.005  # a step from silence clicks
_STEPS = 10  # per second, in the standard
_STEPS_A_BLOCK = 4  # in the standard; a shorter sound is one block
_BLOCK_SECONDS = 4  # read at a time; a whole number of steps
_BLOCK = 1 << 16  # samples, for other block sizes
_SHELF_HZ = 1500.0  # of the standard's first filter
_OVERSAMPLING = 4  # of the standard's true peak
_FILTER_REACH = 16  # samples; resample_poly's filter reaches 10 to each side
_ROUNDS = 4  # iterations to find the gain before the limiter


class Samples(Protocol):
  """Mono samples that are read by slices with a step of one."""

  def __len__(self) -> int: ...

  def __getitem__(self, span: slice, /) -> np.ndarray: ...


def check_target(target: float | None) -> None:
  """Checks that a loudness is within `TARGETS`; None is allowed.

  Raises:
    UserError: the message has the range.
  """
  low, high = TARGETS
  if target is not None and not low < target <= high:
    raise UserError(
      f"loudness {target} LUFS: must be above {low:g} and at most {high:g}, or"
      " none to leave sounds as they are"
    )


def integrated(sound: Samples, sample_rate: int) -> float:
  """Integrated loudness in LUFS; -inf below the gate of -70 LUFS."""
  return _measure(sound, sample_rate).loudness


def true_peak(sound: Samples) -> float:
  """Largest magnitude of the waveform, including between samples."""
  return max((peak for _, peak in _blocks(sound, _BLOCK)), default=0.0)


def level(
  audio_S: np.ndarray, sample_rate: int, target: float = TARGET
) -> np.ndarray:
  """The sound at a loudness, faded in and out over 5 ms, float32.

  One gain for the whole sound. If its true peak would exceed `TRUE_PEAK`, only
  the peaks are reduced, by `LIMITED_DB` at most; a very peaky sound stays
  quieter than the target. Silence is unchanged.
  """
  return levelled(audio_S, sample_rate, target)[:]


def levelled(
  sound: Samples, sample_rate: int, target: float = TARGET
) -> Samples:
  """`level` for a sound of any length, computed lazily.

  Its samples are the same to the last bit however they are sliced. The sound is
  measured by this call and must not change afterwards.
  """
  limit = _amplitude(TRUE_PEAK)
  faded = _Faded(sound, sample_rate)
  measured = _measure(faded, sample_rate)
  if not measured.peak:
    return _Limited(faded, sample_rate, 1.0)
  # Normalised to a peak of one, so that its original level does not matter.
  measured, unit = measured.times(1 / measured.peak), 1 / measured.peak
  gain = _amplitude(target - measured.loudness)
  most = _amplitude(TRUE_PEAK + LIMITED_DB)
  for _ in range(_ROUNDS):
    used = min(gain, most)
    limited = _Limited(faded, sample_rate, used * unit)
    after = measured.times(used)
    if used > limit:
      after = _measure(limited, sample_rate)
      limited.scale = min(1.0, limit / after.peak)
      after = after.times(limited.scale)
    short = target - after.loudness
    if gain >= most or not 0.1 < short < np.inf:
      break
    gain *= _amplitude(short)  # compensates for the limiter
  return limited


class Limiter:
  """Applies a gain and limits peaks to full scale, chunk by chunk.

  It does not look beyond the end of a chunk. Samples more than 10 ms from a
  limited peak are changed by the gain only.

  Attributes:
    count: samples above full scale that were limited.
  """

  def __init__(self, sample_rate: int, gain: float = 0.0):
    """Limiter for a new sound.

    Args:
      gain: in dB, within `GAINS`, applied before the limiter.

    Raises:
      UserError: the gain is out of range.
    """
    low, high = GAINS
    if not low <= gain <= high:
      raise UserError(
        f"gain {gain} dB: must be at least {low:g} and at most {high:g}"
      )
    self.count = 0
    self._gain = np.float32(_amplitude(gain))
    self._reach = round(_FADE_SECONDS * sample_rate)
    self._before_S = np.zeros(0, np.float32)

  def __call__(self, chunk_S: np.ndarray) -> np.ndarray:
    """The next chunk, as float32 in [-1, 1]."""
    chunk_S = self._gain * np.asarray(chunk_S, np.float32)
    self.count += int((np.abs(chunk_S) > 1).sum())
    audio_S = np.concatenate([self._before_S, chunk_S])
    context = len(self._before_S)
    self._before_S = audio_S[max(0, len(audio_S) - 2 * self._reach) :]
    limited_S = _turned_down(audio_S, np.abs(audio_S), 1.0, self._reach)
    return np.clip(limited_S[context:], -1, 1).astype(np.float32)


class _Faded:
  """A sound with 5 ms fades at both ends."""

  def __init__(self, sound: Samples, sample_rate: int):
    self._sound = sound
    size = min(round(_FADE_SECONDS * sample_rate), len(sound) // 2)
    angle_S = np.linspace(0, np.pi / 2, size, endpoint=False)
    self._rise_S = np.sin(angle_S) ** 2

  def __len__(self) -> int:
    return len(self._sound)

  def __getitem__(self, span: slice) -> np.ndarray:
    start, stop, _ = span.indices(len(self))
    audio_S = np.array(self._sound[start:stop], np.float64)
    head_S = self._rise_S[start:stop]
    audio_S[: len(head_S)] *= head_S
    tail_S = self._rise_S[::-1]
    first = len(self) - len(tail_S)  # start of the fade-out
    tail_S = tail_S[max(0, start - first) : max(0, stop - first)]
    audio_S[len(audio_S) - len(tail_S) :] *= tail_S
    return audio_S


class _Limited:
  """A sound with a gain and its peaks limited.

  Attributes:
    scale: factor after the limiter.
  """

  def __init__(self, sound: Samples, sample_rate: int, gain: float):
    self.scale = 1.0
    self._sound, self._gain = sound, gain
    self._reach = round(_FADE_SECONDS * sample_rate)

  def __len__(self) -> int:
    return len(self._sound)

  def __getitem__(self, span: slice) -> np.ndarray:
    start, stop, _ = span.indices(len(self))
    margin = 2 * self._reach + _FILTER_REACH
    first = max(0, start - margin)
    audio_S = self._gain * self._sound[first : stop + margin]
    audio_S = _turned_down(
      audio_S, _true_peaks(audio_S), _amplitude(TRUE_PEAK), self._reach
    )
    audio_S = self.scale * audio_S[start - first : stop - first]
    return audio_S.astype(np.float32)


class _Measure(NamedTuple):
  """Level of a sound.

  Attributes:
    peak: true peak, linear.
    power_I: K-weighted power of the standard's blocks; axis I counts them.
  """

  peak: float
  power_I: np.ndarray

  def times(self, gain: float) -> "_Measure":
    """The measurement of the sound with a gain."""
    return _Measure(self.peak * gain, self.power_I * gain**2)

  @property
  def loudness(self) -> float:
    """Integrated loudness: the mean of blocks above the standard's gates."""
    power_I = self.power_I[self.power_I > _power(TARGETS[0])]
    if not power_I.size:
      return -np.inf
    power_I = power_I[power_I > power_I.mean() / 10]  # 10 LU below the mean
    loudness = -0.691 + 10 * np.log10(power_I.mean())
    return float(loudness) if loudness > TARGETS[0] else -np.inf


def _measure(sound: Samples, sample_rate: int) -> _Measure:
  from scipy import signal

  weighting = _k_weighting(sample_rate)
  state = np.zeros((len(weighting), 2))
  starts = np.arange(_BLOCK_SECONDS * _STEPS) * sample_rate // _STEPS
  highest, energies = 0.0, []
  for audio_S, peak in _blocks(sound, _BLOCK_SECONDS * sample_rate):
    highest = max(highest, peak)
    weighted_S, state = signal.sosfilt(weighting, audio_S, zi=state)
    energies.append(
      np.add.reduceat(weighted_S**2, starts[starts < len(audio_S)])
    )
  energy_I = np.concatenate([np.zeros(0), *energies])
  return _Measure(highest, _block_powers(energy_I, len(sound), sample_rate))


def _block_powers(
  energy_I: np.ndarray, size: int, sample_rate: int
) -> np.ndarray:
  """Mean squares of overlapping blocks, of the energy of each step."""
  steps = size * _STEPS / sample_rate
  if steps < _STEPS_A_BLOCK:
    return energy_I.sum(keepdims=True) / max(1, size)
  count = round(steps - _STEPS_A_BLOCK) + 1
  energy_I = np.pad(energy_I, (0, _STEPS_A_BLOCK))
  energy_I = np.convolve(energy_I, np.ones(_STEPS_A_BLOCK), "valid")[:count]
  return energy_I * _STEPS / (_STEPS_A_BLOCK * sample_rate)


@functools.cache
def _k_weighting(sample_rate: int) -> np.ndarray:
  """The standard's two filters, as second-order sections.

  A sound that has nothing above the edge of the shelf needs no shelf.
  """
  from pyloudnorm import IIRfilter  # slow to import

  filters = [IIRfilter(0.0, 0.5, 38.0, sample_rate, "high_pass")]
  if sample_rate / 2 > _SHELF_HZ:
    shelf = IIRfilter(4.0, 0.5**0.5, _SHELF_HZ, sample_rate, "high_shelf")
    filters.insert(0, shelf)
  return np.array([[*f.b, *f.a] for f in filters])


def _true_peaks(audio_S: np.ndarray) -> np.ndarray:
  """Largest magnitude [S] at and after each sample, up to the next."""
  from scipy import signal

  finer_S = signal.resample_poly(audio_S, _OVERSAMPLING, 1)
  return np.abs(finer_S).reshape(-1, _OVERSAMPLING).max(1)


def _turned_down(
  audio_S: np.ndarray, peak_S: np.ndarray, limit: float, reach: int
) -> np.ndarray:
  """Reduces peaks of the sound to a limit, with a smooth gain.

  The gain is one where no peak is within twice `reach` samples.
  """
  from scipy import ndimage

  if peak_S.max(initial=0.0) <= limit:
    return audio_S
  # The mean of what no sample nearby may pass lets no sample pass.
  size = 2 * reach + 1
  cut_S = 1 - limit / np.maximum(peak_S.astype(np.float64), limit)
  cut_S = ndimage.maximum_filter1d(cut_S, size, mode="nearest")
  # Not uniform_filter1d: its running sum depends on where it starts.
  cut_S = ndimage.correlate1d(cut_S, np.full(size, 1 / size), mode="nearest")
  return audio_S * (1 - cut_S)


def _blocks(sound: Samples, size: int) -> Iterator[tuple[np.ndarray, float]]:
  """Blocks of `size` samples, the last of fewer, each with its true peak."""
  for start in range(0, len(sound), size):
    first = max(0, start - _FILTER_REACH)
    near_S = sound[first : start + size + _FILTER_REACH]
    inside = slice(start - first, start - first + size)
    yield near_S[inside], float(_true_peaks(near_S)[inside].max())


def _amplitude(decibels: float) -> float:
  return 10 ** (decibels / 20)


def _power(loudness: float) -> float:
  """K-weighted power of a loudness in LUFS."""
  return 10 ** ((loudness + 0.691) / 10)
