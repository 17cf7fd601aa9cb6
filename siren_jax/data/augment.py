"""Variations of a sound that leave its caption true.

All randomness comes from the given generator: same generator, same sound.
"""

import dataclasses
import math

import numpy as np

from siren_jax.common.errors import UserError

FADE_SAMPLES = 128  # crossfade where a repeated recording meets itself
CROP_TRIES = 4
LOUD_ENOUGH = 0.05  # of the recording's own level: below, a crop is silence
_LOWEST_HZ = 60.0  # of the equalizer's points


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
  """Ranges of variation of a sound. The default leaves it unchanged.

  Attributes:
    gain_db: lowest and highest gain.
    speed: slowest and fastest; also changes the pitch.
    shift_seconds: maximum delay of the start; a sound as long as its window is
      rotated, so that nothing is lost.
    fit: what fills the window of a short sound, "silence" or "loop" (itself).
    mix: probability that a second sound is mixed in.
    mix_db: lowest and highest level of the second relative to the first.
    equalizer_db: largest gain or loss of a random equalizer, with points an
      octave apart.
  """

  gain_db: tuple[float, ...] = (0.0, 0.0)
  speed: tuple[float, ...] = (1.0, 1.0)
  shift_seconds: float = 0.0
  fit: str = "silence"
  mix: float = 0.0
  mix_db: tuple[float, ...] = (-9.0, 0.0)
  equalizer_db: float = 0.0

  def __post_init__(self) -> None:
    for name in ("gain_db", "speed", "mix_db"):
      values = getattr(self, name)
      if len(values) != 2 or values[0] > values[1]:
        raise UserError(f"{name}={values}: give the lowest and the highest")
    if self.speed[0] <= 0.25 or self.speed[1] >= 4:
      raise UserError(f"speed={self.speed}: must lie between 0.25 and 4")
    if self.fit not in ("silence", "loop"):
      raise UserError(f"fit={self.fit!r}: must be 'silence' or 'loop'")
    if not 0 <= self.mix <= 1:
      raise UserError(f"mix={self.mix}: a probability lies between 0 and 1")
    for name in ("shift_seconds", "equalizer_db"):
      if getattr(self, name) < 0:
        raise UserError(f"{name}={getattr(self, name)}: must be 0 or more")


UNCHANGED = AugmentConfig()


def vary(
  audio_S: np.ndarray,
  size: int,
  sample_rate: int,
  config: AugmentConfig,
  rng: np.random.Generator,
) -> np.ndarray:
  """A crop or filled window of `size` samples, varied by `config`; float32."""
  low, high = config.speed
  speed = math.exp(rng.uniform(math.log(low), math.log(high)))
  need = max(1, round(size * speed))
  delay = round(rng.uniform(0, config.shift_seconds) * sample_rate)
  if audio_S.size > need:  # the start of a crop is random anyway
    audio_S, delay = crop(audio_S, need, rng), 0
  audio_S = change_speed(audio_S, speed)[:size]
  audio_S = fit(audio_S, size, config.fit, delay)
  if config.equalizer_db:
    audio_S = equalize(audio_S, sample_rate, config.equalizer_db, rng)
  return limit(audio_S * decibels(uniform(config.gain_db, rng)))


def crop(
  audio_S: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
  """A random crop of `size` samples, almost always with sound in it.

  If none of a few draws is loud enough, the loudest is used.
  """
  level = LOUD_ENOUGH * rms(audio_S)
  starts = rng.integers(0, audio_S.size - size + 1, CROP_TRIES)
  loudest_S, loudest = audio_S[:size], -1.0
  for start in starts:
    piece_S = audio_S[start : start + size]
    piece_level = rms(piece_S)
    if piece_level > level:
      return piece_S
    if piece_level > loudest:
      loudest_S, loudest = piece_S, piece_level
  return loudest_S


def change_speed(audio_S: np.ndarray, speed: float) -> np.ndarray:
  """Plays faster (or slower), with higher (or lower) pitch."""
  if abs(speed - 1) < 1e-3:
    return audio_S
  import soxr  # not needed to import a training step

  return soxr.resample(audio_S, speed, 1.0, quality="LQ")


def fit(audio_S: np.ndarray, size: int, mode: str, delay: int) -> np.ndarray:
  """Fills `size` samples with a sound no longer than that, float32.

  In mode "silence", a short sound is delayed by up to `delay` samples, but not
  cut, and zero padded. Otherwise the sound is looped and rotated by the delay.
  """
  if audio_S.size < size and mode == "silence":
    start = min(delay, size - audio_S.size)
    return np.pad(
      audio_S.astype(np.float32), (start, size - audio_S.size - start)
    )
  if audio_S.size == size and not delay:
    return audio_S.astype(np.float32)
  return np.resize(np.roll(_seamless(audio_S), delay), size)


def _seamless(audio_S: np.ndarray) -> np.ndarray:
  """The sound with its end crossfaded into its beginning, for looping."""
  fade = min(FADE_SAMPLES, audio_S.size // 2)
  rise = np.linspace(0, 1, fade, dtype=np.float32)
  out_S = audio_S[fade:].astype(np.float32)
  out_S[out_S.size - fade :] *= 1 - rise
  out_S[out_S.size - fade :] += rise * audio_S[:fade]
  return out_S


def equalize(
  audio_S: np.ndarray,
  sample_rate: int,
  most_db: float,
  rng: np.random.Generator,
) -> np.ndarray:
  """Through an equalizer with random gains at points an octave apart."""
  hertz_F = np.fft.rfftfreq(audio_S.size, 1 / sample_rate)
  octave_F = np.log2(np.maximum(hertz_F, _LOWEST_HZ) / _LOWEST_HZ)
  points = np.arange(math.ceil(octave_F[-1]) + 1)
  gain_db = rng.uniform(-most_db, most_db, points.size)
  gain_F = 10 ** (np.interp(octave_F, points, gain_db) / 20)
  out_S = np.fft.irfft(np.fft.rfft(audio_S) * gain_F, audio_S.size)
  return out_S.astype(np.float32)


def mix(
  audio_S: np.ndarray, other_S: np.ndarray, level_db: float
) -> np.ndarray:
  """Mix of both, `other_S` at `level_db` relative to the level of the first."""
  scale = decibels(level_db) * rms(audio_S) / max(rms(other_S), 1e-6)
  return limit(audio_S + scale * other_S)


def limit(audio_S: np.ndarray) -> np.ndarray:
  """Scaled down to a peak of 1 if it is higher; float32."""
  peak = max(1.0, float(np.abs(audio_S).max()))
  return (audio_S / peak).astype(np.float32)


def rms(audio_S: np.ndarray) -> float:
  """Root mean square level."""
  audio_S = audio_S.astype(np.float32, copy=False)
  return math.sqrt(float(np.vdot(audio_S, audio_S)) / max(1, audio_S.size))


def uniform(bounds: tuple[float, ...], rng: np.random.Generator) -> float:
  """Draws between the lowest and the highest of two bounds."""
  low, high = bounds
  return rng.uniform(low, high)


def decibels(gain_db: float) -> float:
  """An amplitude factor."""
  return 10.0 ** (gain_db / 20.0)
