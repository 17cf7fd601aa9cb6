"""Synthetic captioned sounds, whose captions can be verified.

Our design. A sound has a `truth`, a small dictionary of its audible properties;
its captions are made from the truth alone, and each states all of it and no
more. `siren_jax.alignment.claims` verifies the truth from audio.

  {"kind": "tone", "pitch": "low"} or "hz": 440, or neither
  {"kind": "beeps", "count": 3, "pitch": "high"}   (pitch may be absent)
  {"kind": "sweep", "direction": "up"}
  {"kind": "chord", "quality": "minor", "root": "C"}   (root may be absent)
  {"kind": "tremolo", "speed": "slow"}
  {"kind": "siren", "style": "wailing"}            or "two-tone"
  {"kind": "clicks", "rate_hz": 4}                 or "speed": "fast"
  {"kind": "noise", "band": "low"}                 middle, high or full
  {"kind": "bursts", "count": 2}
  {"kind": "sequence", "parts": [truth, truth]}    in this order
  {"kind": "mixture", "parts": [truth, truth]}     foreground, background
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from siren_jax.common.errors import UserError
from siren_jax.common.rng import choice
from siren_jax.data.synthetic.captions import captions_of

Truth = dict[str, Any]
Rng = np.random.Generator
Sketch = tuple[np.ndarray, Truth]  # audio_S of any level, and its truth
ROOTS = (
  "C", "C sharp", "D", "D sharp", "E", "F",
  "F sharp", "G", "G sharp", "A", "A sharp", "B",
)  # fmt: skip
THIRDS = {"major": 4, "minor": 3}  # semitones above the root
# Between two pitches or speeds lies a gap that belongs to neither.
PITCHES_HZ = {"low": (110, 260), "middle": (420, 850), "high": (1500, 3000)}
TREMOLO_HZ = {"slow": (2.0, 3.5), "fast": (7.0, 11.0)}
CLICKS_HZ = {"slow": (1.0, 2.0), "fast": (7.0, 11.0)}
_TEST_TONES_HZ = (110, 150, 220, 330, 440, 500, 660, 800, 1000, 1500, 2000)
_CLICK_RATES_HZ = (2, 3, 4, 5, 6, 8, 10)
_HARMONICS = ((1.0,), (1.0, 0.3, 0.1), (1.0, 0.4, 0.25, 0.1))
_MIN_RATE, _MIN_SECONDS, _MIN_PAIR_SECONDS = 8000, 1.0, 3.0
_SEQUENCE_SHARE, _MIXTURE_SHARE = 0.25, 0.15
_CAPTIONS = 6


@dataclasses.dataclass(frozen=True)
class Sound:
  """audio_S float32 within [-1, 1], its captions, and what they claim."""

  audio_S: np.ndarray
  captions: tuple[str, ...]
  truth: Truth


def noise_band(band: str, sample_rate: int) -> tuple[float, float]:
  """Edges in Hz of 'low', 'middle', 'high' or 'full'."""
  top = 0.475 * sample_rate
  return {
    "low": (40.0, 300.0),
    "middle": (600.0, 1800.0),
    "high": (min(3500.0, 0.75 * top), top),
    "full": (40.0, top),
  }[band]


def check(sample_rate: int, seconds: float) -> None:
  """Checks that such sounds can be made.

  Raises:
    UserError: `sample_rate` below 8000 Hz or `seconds` below 1.
  """
  if sample_rate < _MIN_RATE:
    raise UserError(
      f"sample rate {sample_rate}: synthetic sounds need at least {_MIN_RATE}"
    )
  if seconds < _MIN_SECONDS:
    raise UserError(
      f"{seconds} seconds: synthetic sounds last at least {_MIN_SECONDS:g}"
    )


def make(seed: int | Sequence[int], sample_rate: int, seconds: float) -> Sound:
  """A random sound; the same arguments give the same sound.

  Raises:
    UserError: see `check`.
  """
  check(sample_rate, seconds)
  rng = np.random.default_rng(seed)
  shares = (_SEQUENCE_SHARE, _MIXTURE_SHARE)
  if seconds < _MIN_PAIR_SECONDS:
    shares = (0.0, 0.0)
  form = rng.choice(3, p=[1 - sum(shares), *shares])
  maker = (_single, _sequence, _mixture)[form]
  audio_S, truth = maker(rng, sample_rate, seconds)
  audio_S = _fit(audio_S, round(seconds * sample_rate))
  level = rng.uniform(0.2, 0.8) / np.abs(audio_S).max()
  captions = [str(c) for c in rng.permutation(captions_of(truth))]
  return Sound(
    (level * audio_S).astype(np.float32), tuple(captions[:_CAPTIONS]), truth
  )


def make_set(
  count: int, seed: int, sample_rate: int, seconds: float
) -> Iterator[Sound]:
  """`count` sounds; sound i depends on `seed` and i alone."""
  for i in range(count):
    yield make((seed, i), sample_rate, seconds)


# Makers: (rng, sample_rate, seconds) -> (audio_S, truth), with any length S up
# to `seconds`.
Maker = Callable[[Rng, int, float], Sketch]


def _tone(rng: Rng, rate: int, seconds: float) -> Sketch:
  claim = rng.choice(["hz", "pitch", "none"], p=[0.25, 0.6, 0.15])
  pitch = choice(rng, tuple(PITCHES_HZ))
  hz = _log_uniform(rng, *PITCHES_HZ[pitch])
  truth: Truth = {"kind": "tone"}
  if claim == "hz":
    hz = truth["hz"] = choice(rng, _TEST_TONES_HZ)
  elif claim == "pitch":
    truth["pitch"] = pitch
  hz_S = np.full(_length(rng, rate, seconds), hz)
  return _fade(_wave(rng, hz_S, rate), rate), truth


def _beeps(rng: Rng, rate: int, seconds: float) -> Sketch:
  pitch = choice(rng, tuple(PITCHES_HZ))
  hz = _log_uniform(rng, *PITCHES_HZ[pitch])
  starts, size, count = _event_times(rng, rate, seconds)
  beep = _fade(_wave(rng, np.full(size, hz), rate), rate, 0.01)
  truth: Truth = {"kind": "beeps", "count": count}
  if rng.random() < 0.6:
    truth["pitch"] = pitch
  return _place([beep] * count, starts), truth


def _sweep(rng: Rng, rate: int, seconds: float) -> Sketch:
  direction = choice(rng, ("up", "down"))
  size = _length(rng, rate, seconds)
  octaves = rng.uniform(1.2, max(1.3, min(3.0, 1.2 * size / rate)))
  low = _log_uniform(rng, 150, 2800 / 2**octaves)
  ramp_S = np.linspace(0.0, octaves, size)
  hz_S = low * 2 ** (ramp_S if direction == "up" else octaves - ramp_S)
  truth: Truth = {"kind": "sweep", "direction": direction}
  return _fade(_wave(rng, hz_S, rate), rate), truth


def _chord(rng: Rng, rate: int, seconds: float) -> Sketch:
  quality = choice(rng, tuple(THIRDS))
  midi = int(rng.integers(52, 67))
  size = _length(rng, rate, seconds)
  steps = [0, THIRDS[quality], 7] + [12] * int(rng.random() < 0.4)
  hz = [440 * 2 ** ((midi + step - 69) / 12) for step in steps]
  notes = (_wave(rng, np.full(size, h), rate) for h in hz)
  audio_S = sum(notes, start=np.zeros(size))
  truth: Truth = {"kind": "chord", "quality": quality}
  if rng.random() < 0.4:
    truth["root"] = ROOTS[midi % 12]
  return _fade(audio_S, rate), truth


def _tremolo(rng: Rng, rate: int, seconds: float) -> Sketch:
  speed = choice(rng, tuple(TREMOLO_HZ))
  size = _length(rng, rate, seconds)
  beat = _log_uniform(rng, *TREMOLO_HZ[speed])
  phase_S = 2 * np.pi * beat * np.arange(size) / rate
  gain_S = 1 - rng.uniform(0.5, 0.8) * (0.5 + 0.5 * np.cos(phase_S))
  tone_S = _wave(rng, np.full(size, _log_uniform(rng, 200, 1500)), rate)
  truth: Truth = {"kind": "tremolo", "speed": speed}
  return _fade(gain_S * tone_S, rate), truth


def _siren(rng: Rng, rate: int, seconds: float) -> Sketch:
  style = choice(rng, ("wailing", "two-tone"))
  size = _length(rng, rate, seconds)
  # At least two full swings, or it would be a sweep.
  period = min(rng.uniform(1.0, 1.8), size / rate / 2.2)
  wave_S = np.sin(2 * np.pi * np.arange(size) / rate / period)
  octaves = rng.uniform(0.6, 1.2)
  if style == "two-tone":
    wave_S, octaves = np.sign(wave_S), rng.uniform(0.35, 0.6)
  hz_S = _log_uniform(rng, 500, 1000) * 2 ** (octaves * wave_S / 2)
  return _fade(_wave(rng, hz_S, rate), rate), {"kind": "siren", "style": style}


def _clicks(rng: Rng, rate: int, seconds: float) -> Sketch:
  truth: Truth = {"kind": "clicks"}
  slowest = 4.5 / seconds  # four clicks at least: a rate must be heard
  if rng.random() < 0.5:
    rates = [hz for hz in _CLICK_RATES_HZ if hz >= slowest]
    truth["rate_hz"] = choice(rng, rates)
    hz = float(truth["rate_hz"])
  else:
    speeds = [s for s, (_, top) in CLICKS_HZ.items() if top >= slowest]
    truth["speed"] = choice(rng, speeds)
    low, high = CLICKS_HZ[truth["speed"]]
    hz = _log_uniform(rng, max(low, slowest), high)
  size = round(0.02 * rate)
  decay_S = np.exp(-np.arange(size) / rate / rng.uniform(0.002, 0.004))
  click = decay_S * rng.standard_normal(size)
  starts = np.arange(0, seconds * rate - size, rate / hz).astype(int)
  return _place([click] * len(starts), starts), truth


def _noise(rng: Rng, rate: int, seconds: float) -> Sketch:
  band = choice(rng, ("low", "middle", "high", "full"))
  audio_S = _band_noise(rng, _length(rng, rate, seconds), rate, band)
  return _fade(audio_S, rate, 0.05), {"kind": "noise", "band": band}


def _bursts(rng: Rng, rate: int, seconds: float) -> Sketch:
  starts, size, count = _event_times(rng, rate, seconds)
  bursts = [
    _fade(_band_noise(rng, size, rate, "full"), rate, 0.005)
    for _ in range(count)
  ]
  return _place(bursts, starts), {"kind": "bursts", "count": count}


_MAKERS: tuple[Maker, ...] = (
  _tone, _beeps, _sweep, _chord, _tremolo, _siren, _clicks, _noise, _bursts,
)  # fmt: skip


def _single(rng: Rng, rate: int, seconds: float) -> Sketch:
  return choice(rng, _MAKERS)(rng, rate, seconds)


def _sequence(rng: Rng, rate: int, seconds: float) -> Sketch:
  """Two sounds with silence between them, which make different claims."""
  gap = rng.uniform(0.3, 0.5)
  while True:
    audio_S, first = _single(rng, rate, (seconds - gap) / 2)
    rest_S, second = _single(rng, rate, (seconds - gap) / 2)
    if first["kind"] != second["kind"] or _differ(first, second):
      break
  start = len(audio_S) + round(gap * rate)
  pair = [_unit_power(audio_S), _unit_power(rest_S)]
  return _place(pair, [0, start]), _pair("sequence", first, second)


def _mixture(rng: Rng, rate: int, seconds: float) -> Sketch:
  """A foreground over steady noise, or clicks over a steady tone."""
  if rng.random() < 0.25:
    fore_S, first = _clicks(rng, rate, seconds)
    back_S, second = _tone(rng, rate, seconds)
    gain = 0.15
    fore_S = fore_S / np.abs(fore_S).max()
  else:
    maker = choice(rng, (_tone, _beeps, _sweep))
    fore_S, first = maker(rng, rate, seconds)
    back_S, second = _noise(rng, rate, seconds)
    gain = 10 ** (rng.uniform(-12, -7) / 20)
    fore_S = _unit_power(fore_S)
  back_S = gain * _unit_power(back_S)
  return _place([fore_S, back_S], [0, 0]), _pair("mixture", first, second)


def _pair(kind: str, first: Truth, second: Truth) -> Truth:
  return {"kind": kind, "parts": [first, second]}


def _differ(first: Truth, second: Truth) -> bool:
  """Whether two truths of one kind claim different values of something.

  Numbers do not count: where the first sound ends could not be heard.
  """
  keys = (first.keys() & second.keys()) - {"count"}
  return any(first[key] != second[key] for key in keys)


# Building blocks.
def _log_uniform(rng: Rng, low: float, high: float) -> float:
  return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _length(rng: Rng, rate: int, seconds: float) -> int:
  """Samples of a lasting sound: most of the time there is."""
  return int(rate * seconds * rng.uniform(0.8, 0.95))


def _event_times(
  rng: Rng, rate: int, seconds: float
) -> tuple[np.ndarray, int, int]:
  """Starts and length in samples, and the number, of one to six events."""
  count = int(rng.integers(1, 7 if seconds > 2 else 4))
  slot = min(0.85 * seconds / count, rng.uniform(0.3, 0.6))
  size = int(rate * slot * rng.uniform(0.35, 0.55))
  first = rng.uniform(0, 0.9 * seconds - count * slot)
  return (rate * (first + slot * np.arange(count))).astype(int), size, count


def _wave(rng: Rng, hz_S: np.ndarray, rate: int) -> np.ndarray:
  """A tone of changing pitch; its fundamental is its strongest part."""
  phase_S = 2 * np.pi * np.cumsum(hz_S) / rate + rng.uniform(0, 2 * np.pi)
  weights = choice(rng, _HARMONICS)
  top = 0.45 * rate / hz_S.max()
  harmonics = [(k, w) for k, w in enumerate(weights, 1) if k <= max(1, top)]
  waves = (w * np.sin(k * phase_S) for k, w in harmonics)
  return sum(waves, start=np.zeros(len(hz_S)))


def _band_noise(rng: Rng, size: int, rate: int, band: str) -> np.ndarray:
  padded = 1 << (size - 1).bit_length()  # a size that transforms fast
  spectrum = np.fft.rfft(rng.standard_normal(padded))
  freqs = np.fft.rfftfreq(padded, 1 / rate)
  low, high = noise_band(band, rate)
  return np.fft.irfft(spectrum * ((freqs >= low) & (freqs <= high)))[:size]


def _fade(audio_S: np.ndarray, rate: int, seconds: float = 0.03) -> np.ndarray:
  """Raised-cosine fades at both ends, to avoid clicks."""
  size = min(round(seconds * rate), len(audio_S) // 2)
  edge = 0.5 - 0.5 * np.cos(np.pi * np.arange(size) / size)
  gain_S = np.ones(len(audio_S))
  gain_S[:size], gain_S[len(audio_S) - size :] = edge, edge[::-1]
  return audio_S * gain_S


def _place(sounds: Sequence[np.ndarray], starts: Iterable[int]) -> np.ndarray:
  """Sounds added up, each from its start."""
  audio_S = np.zeros(max(s + len(a) for a, s in zip(sounds, starts)))
  for sound, start in zip(sounds, starts):
    audio_S[start : start + len(sound)] += sound
  return audio_S


def _unit_power(audio_S: np.ndarray) -> np.ndarray:
  """Scaled so that the power of what is not silence is 1."""
  power_S = audio_S**2
  return audio_S / np.sqrt(power_S[power_S > 1e-3 * power_S.max()].mean())


def _fit(audio_S: np.ndarray, size: int) -> np.ndarray:
  """Cut or padded to `size` samples."""
  return np.pad(audio_S[:size], (0, max(0, size - len(audio_S))))
