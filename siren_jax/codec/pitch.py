"""Pitch of several voices, by autocorrelation.

After Boersma (1993): the autocorrelation of a windowed frame divided by that of
the window. The second voice is found after removing the harmonics of the first.
Frames are analysis frames, `hop_length` apart. I: pitches of a logarithmic
scale.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.audio import stft
from siren_jax.codec.config import SpectralCodecConfig
from siren_jax.common.precision import exact

LOWEST_HZ, HIGHEST_HZ, STEP_CENTS = 50.0, 4000.0, 20
# Preference for the higher of two equally good pitches, per octave.
_OCTAVE = 0.05
_MAINLOBE_HZ = 30.0


class Pitch(NamedTuple):
  """Pitch of every voice in every frame.

  Attributes:
    place_BxTxY: on the scale: 0 is `LOWEST_HZ`, 1 a step higher.
    strength_BxTxY: of its periodicity, from 0 (noise) to 1 (fully periodic).
  """

  place_BxTxY: jax.Array
  strength_BxTxY: jax.Array


def scale() -> np.ndarray:
  """The pitches, in Hz [I]."""
  count = 1 + int(1200 * np.log2(HIGHEST_HZ / LOWEST_HZ) / STEP_CENTS)
  return hertz(np.arange(count))


def hertz(place: Any) -> Any:
  """Frequency of places on the scale."""
  return LOWEST_HZ * 2.0 ** (place * (STEP_CENTS / 1200))


def power(config: SpectralCodecConfig, audio_BxS: jax.Array) -> jax.Array:
  """Power spectra [B, T, W] of long windows, to resolve close partials."""
  size, fft_size = _sizes(config)
  spectra = stft.stft(audio_BxS, size, config.hop_length, fft_size=fft_size)
  return stft.power(spectra) * (4 / size) ** 2


def measure(
  config: SpectralCodecConfig, power_BxTxW: jax.Array
) -> tuple[Pitch, jax.Array]:
  """Pitch, and the autocorrelations [B, T, Y, I] it was chosen from."""
  pitches, maps = [], []
  for voice in range(config.voices):
    periodicity_BxTxI = _periodicity(config, power_BxTxW)
    place, strength = _pick(periodicity_BxTxI)
    pitches.append((place, strength))
    maps.append(periodicity_BxTxI)
    if voice + 1 < config.voices:
      power_BxTxW = power_BxTxW * _between(config, hertz(place))
  places, strengths = (jnp.stack(x, -1) for x in zip(*pitches, strict=True))
  return Pitch(places, strengths), jnp.stack(maps, 2)


def around(place_BxTxY: jax.Array, width: float) -> jax.Array:
  """Bell curves of height one around positions, in steps: [B, T, Y, I]."""
  grid_I = jnp.arange(len(scale()))
  off = (grid_I - place_BxTxY[..., None]) / width
  return jnp.exp(-0.5 * off**2)


def place_of(logits_BxTxYxI: jax.Array) -> jax.Array:
  """The likeliest position, to a fraction of a step: [B, T, Y]."""
  best = jnp.argmax(logits_BxTxYxI, -1)
  grid_I = jnp.arange(logits_BxTxYxI.shape[-1])
  near = jnp.abs(grid_I - best[..., None]) <= 3
  share = jax.nn.softmax(jnp.where(near, logits_BxTxYxI, -jnp.inf))
  return jnp.sum(share * grid_I, -1)


def _sizes(config: SpectralCodecConfig) -> tuple[int, int]:
  """Samples of a window and of its transform: four periods and one more."""
  size = 2 * config.fft_size
  return size, size + config.fft_size // 2


@functools.lru_cache
def _waves(config: SpectralCodecConfig) -> np.ndarray:
  """Cosines [W, I] that map power spectra to autocorrelations at periods."""
  _, fft_size = _sizes(config)
  bins_W = np.arange(fft_size // 2 + 1) * (config.sample_rate / fft_size)
  waves = np.cos(2 * np.pi * bins_W[:, None] / scale())
  waves[1:-1] *= 2
  return waves.astype("f4")


@exact
def _periodicity(
  config: SpectralCodecConfig, power_BxTxW: jax.Array
) -> jax.Array:
  size, fft_size = _sizes(config)
  waves = _waves(config)
  total = jnp.sum(power_BxTxW[..., 1:], -1, keepdims=True) * 2
  window_W = np.abs(np.fft.rfft(stft.hann(size), fft_size)) ** 2
  window_I = (window_W @ waves) / (2 * window_W.sum() - window_W[0])
  level = power_BxTxW @ waves / (total + 1e-9)
  return level / window_I.astype("f4")


def _pick(periodicity_BxTxI: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Position and strength of the best peak, supported by adjacent frames."""
  count = periodicity_BxTxI.shape[-1]
  favour_I = _OCTAVE * np.log2(scale() / LOWEST_HZ).astype("f4")
  level = periodicity_BxTxI + favour_I
  left, right = level[..., :-2], level[..., 2:]
  middle = level[..., 1:-1]
  peak = (middle >= left) & (middle >= right)
  wide = jax.lax.reduce_window(
    level, -jnp.inf, jax.lax.max, (1, 1, 7), (1, 1, 1), "same"
  )
  padded = jnp.pad(wide, ((0, 0), (1, 1), (0, 0)), mode="edge")
  smooth = level + 0.5 * (padded[:, :-2] + padded[:, 2:])
  best = 1 + jnp.argmax(jnp.where(peak, smooth[..., 1:-1], -9.0), -1)

  def at(place: jax.Array) -> jax.Array:
    place = jnp.clip(place, 0, count - 1)[..., None]
    return jnp.take_along_axis(level, place, -1)[..., 0]

  below, top, above = at(best - 1), at(best), at(best + 1)
  bend = below - 2 * top + above
  shift = jnp.where(bend < -1e-6, 0.5 * (below - above) / bend, 0.0)
  strength = jnp.take_along_axis(periodicity_BxTxI, best[..., None], -1)
  place = best + jnp.clip(shift, -0.5, 0.5)
  return place, jnp.clip(strength[..., 0], 0.0, 1.0)


def _between(config: SpectralCodecConfig, hertz_BxT: jax.Array) -> jax.Array:
  """1 between the harmonics of a pitch, 0 on them: [B, T, W]."""
  _, fft_size = _sizes(config)
  bins_W = np.arange(fft_size // 2 + 1) * (config.sample_rate / fft_size)
  order = jnp.maximum(jnp.round(bins_W / hertz_BxT[..., None]), 1.0)
  off = jnp.abs(bins_W - order * hertz_BxT[..., None])
  return (off > _MAINLOBE_HZ).astype(jnp.float32)
