"""How loud a sound is, and the same sound at another loudness.

Integrated loudness after EBU R 128 (ITU-R BS.1770-4). A sound is an array, or
anything else that gives samples by slices (`Samples`): one that lies on disk
is never in memory as a whole.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from siren_jax.common.errors import UserError

TARGET = -23.0  # LUFS, the level of EBU R 128
TARGETS = (-70.0, 0.0)  # LUFS: the gate of the standard, full scale
TRUE_PEAK = -1.0  # dBTP, the highest that EBU R 128 permits
LIMITED_DB = 9.0  # by which peaks may be turned down to reach a loudness
GAINS = (-60.0, 60.0)  # dB
_FADE_SECONDS = 0.005  # a step from silence clicks
_STEPS = 10  # of the standard, a second
_STEPS_A_BLOCK = 4  # of the standard; a shorter sound is one block
_BLOCK_SECONDS = 4  # read at a time; whole ones hold whole steps
_BLOCK = 1 << 16  # samples, where seconds do not matter
_OVERSAMPLING = 4  # of the standard's true peak
_FILTER_REACH = 16  # samples; resample_poly's filter reaches 10 to each side
_ROUNDS = 4  # of a limiter, to find the gain before it


class Samples(Protocol):
  """Mono samples that are read by slices with a step of one."""

  def __len__(self) -> int: ...

  def __getitem__(self, span: slice, /) -> np.ndarray: ...


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


def integrated(sound: Samples, sample_rate: int) -> float:
  """Integrated loudness in LUFS; -inf of what is below the gate, -70."""
  return _measure(sound, sample_rate).loudness


def true_peak(sound: Samples) -> float:
  """Largest magnitude of the waveform, between its samples too."""
  return max((peak for _, peak in _blocks(sound, _BLOCK)), default=0.0)


def level(
  audio_S: np.ndarray, sample_rate: int, target: float = TARGET
) -> np.ndarray:
  """The sound at a loudness, faded in and out over 5 ms, float32.

  One gain for the whole sound. Where its true peak would pass `TRUE_PEAK`, the
  peaks alone are turned down, by `LIMITED_DB` at most; a sound of peaks alone
  stays quieter than the target. Silence stays silence.
  """
  return levelled(audio_S, sample_rate, target)[:]


def levelled(
  sound: Samples, sample_rate: int, target: float = TARGET
) -> Samples:
  """`level` of a sound of any length, computed where it is read.

  The same samples to the last bit, whichever slices they are read in. The
  sound is measured by this call and must not change after it.
  """
  limit = _amplitude(TRUE_PEAK)
  faded = _Faded(sound, sample_rate)
  measured = _measure(faded, sample_rate)
  if not measured.peak:
    return _Limited(faded, sample_rate, 1.0)
  # At a peak of one: how faint the sound was does not matter.
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
    gain *= _amplitude(short)  # what the limiter took
  return limited


class Limiter:
  """A gain, and peaks beyond full scale turned down, a chunk at a time.

  It looks no further ahead than the end of a chunk. What lies more than 10 ms
  from such a peak is changed by the gain alone.

  Attributes:
    count: samples that came out beyond full scale and were turned down.
  """

  def __init__(self, sample_rate: int, gain: float = 0.0):
    """A limiter at the beginning of a sound.

    Args:
      gain: in dB, within `GAINS`; louder before the limiter, or quieter.

    Raises:
      UserError: it is outside.
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
  """A sound with ends that rise from and fall to zero within 5 ms."""

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
    first = len(self) - len(tail_S)  # sample of the fall
    tail_S = tail_S[max(0, start - first) : max(0, stop - first)]
    audio_S[len(audio_S) - len(tail_S) :] *= tail_S
    return audio_S


class _Limited:
  """A sound times a gain: its peaks are turned down, the rest stays.

  Attributes:
    scale: a factor behind the limiter.
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
    """That of the sound times a gain."""
    return _Measure(self.peak * gain, self.power_I * gain**2)

  @property
  def loudness(self) -> float:
    """Integrated: the mean of blocks that no gate of the standard closes."""
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
  """The standard's two filters, as second-order sections."""
  from pyloudnorm import IIRfilter  # SciPy's filters take a while to import.

  shelf = IIRfilter(4.0, 0.5**0.5, 1500.0, sample_rate, "high_shelf")
  high_pass = IIRfilter(0.0, 0.5, 38.0, sample_rate, "high_pass")
  return np.array([[*f.b, *f.a] for f in (shelf, high_pass)])


def _true_peaks(audio_S: np.ndarray) -> np.ndarray:
  """Largest magnitude [S] at and after each sample, up to the next."""
  from scipy import signal

  finer_S = signal.resample_poly(audio_S, _OVERSAMPLING, 1)
  return np.abs(finer_S).reshape(-1, _OVERSAMPLING).max(1)


def _turned_down(
  audio_S: np.ndarray, peak_S: np.ndarray, limit: float, reach: int
) -> np.ndarray:
  """The sound times a gain that keeps its peaks below a limit.

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
