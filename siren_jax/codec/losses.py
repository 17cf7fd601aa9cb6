"""Distances of spectra, and losses of voices."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.audio import mel, stft
from siren_jax.codec import pitch, voices
from siren_jax.codec.config import SpectralCodecConfig
from siren_jax.codec.pitch import Pitch

# Window size and number of mel bands of each scale.
_SCALES = ((64, 8), (128, 16), (256, 32), (512, 64), (1024, 80), (2048, 128))
_FLOOR = 1e-5
_SWING_BANDS = 64


def _log_spectra(
  audio_BxS: jax.Array, size: int, mels: int, rate: int
) -> tuple[jax.Array, jax.Array]:
  hop = size // 2
  pad = -audio_BxS.shape[1] % hop
  audio = jnp.pad(audio_BxS, ((0, 0), (0, pad)))
  power = _power(audio, size, hop)
  bank = mel.filters(rate, size, mels, scale="htk", norm="sum")
  log_mel = jnp.log10(jnp.sqrt(mel.bands(power, bank) + _FLOOR**2))
  return log_mel, 0.5 * jnp.log10(power + _FLOOR**2)


def _power(audio_BxS: jax.Array, size: int, hop: int) -> jax.Array:
  """Power spectra [B, T, W]; a full-scale sine has power one."""
  return stft.power(stft.stft(audio_BxS, size, hop)) * (4 / size) ** 2


def spectra(audio_BxS: jax.Array, sample_rate: int) -> list:
  """Log mel and log linear spectra at every scale, for `distance`."""
  return [_log_spectra(audio_BxS, *scale, sample_rate) for scale in _SCALES]


def mel_distance(a: list, b: list) -> jax.Array:
  """Mean absolute difference of log10 mel magnitudes over all scales."""
  terms = (jnp.mean(jnp.abs(x[0] - y[0])) for x, y in zip(a, b))
  return functools.reduce(operator.add, terms) / len(a)


def distance(a: list, b: list) -> jax.Array:
  """Mel distance plus the Euclidean distance of log linear spectra.

  Both terms are of negative type, as the energy distance requires.
  """
  terms = (
    jnp.mean(jnp.sqrt(jnp.mean((x[1] - y[1]) ** 2, -1) + 1e-6))
    for x, y in zip(a, b)
  )
  euclid = functools.reduce(operator.add, terms)
  return mel_distance(a, b) + euclid / len(a)


def energy_distance(target: list, one: list, other: list) -> jax.Array:
  """Generalised energy distance of two renderings to the target.

  Minimal, in expectation, if renderings are samples from the distribution of
  the target given the codes (Gritsenko et al. 2020, section 3): the last term
  preserves noise, which a plain distance would average away.
  """
  return distance(target, one) + distance(target, other) - distance(one, other)


def band_levels(audio_BxS: jax.Array, hop: int, sample_rate: int) -> jax.Array:
  """Natural log power of bands, every `hop` samples: [B, T, M]."""
  audio = jnp.pad(audio_BxS, ((0, 0), (0, -audio_BxS.shape[1] % hop)))
  power = _power(audio, 2 * hop, hop)
  bank = mel.filters(
    sample_rate, 2 * hop, _SWING_BANDS, scale="htk", norm="sum"
  )
  return jnp.log(mel.bands(power, bank) + _FLOOR**2)


def swing(levels_BxTxM: jax.Array) -> jax.Array:
  """Mean absolute change of each band's level between frames: [B, M].

  White noise fluctuates at random; an engine's hum hardly changes.
  """
  return jnp.mean(jnp.abs(jnp.diff(levels_BxTxM, axis=1)), 1)


def loudness(levels_BxTxM: jax.Array) -> jax.Array:
  """Natural log of the mean power of each band: [B, M].

  The other distances compare logarithms, which bias unpredictable sounds low.
  """
  count = levels_BxTxM.shape[1]
  return jax.nn.logsumexp(levels_BxTxM, 1) - jnp.log(count)


def _audible(power_BxTxW: jax.Array) -> jax.Array:
  """0 in silence, 1 in frames not far below the loudest one: [B, T]."""
  total_BxT = jnp.sum(power_BxTxW, -1)
  loudest = jnp.max(total_BxT, 1, keepdims=True)
  return (total_BxT / (loudest + 1e-6)) ** 0.25


def _clear(strength: jax.Array) -> jax.Array:
  """0 if a pitch may be chance, as in noise; 1 if it is certain."""
  return jnp.clip((strength - 0.35) / 0.4, 0.0, 1.0)


def pitch_loss(
  measured: Pitch, logits_BxTxYxI: jax.Array, power_BxTxW: jax.Array
) -> jax.Array:
  """Cross-entropy in nats of the pitches, in frames that have one."""
  target = pitch.around(measured.place_BxTxY, 1.0)
  target /= jnp.sum(target, -1, keepdims=True)
  entropy = -jnp.sum(target * jax.nn.log_softmax(logits_BxTxYxI), -1)
  weight = _clear(measured.strength_BxTxY) * _audible(power_BxTxW)[..., None]
  return jnp.sum(weight * entropy) / (jnp.sum(weight) + 1e-3)


def lines_loss(
  config: SpectralCodecConfig,
  measured: Pitch,
  harmonics: voices.Harmonics,
  amplitude_BxTxYxW: jax.Array,
  power_BxTxW: jax.Array,
) -> jax.Array:
  """Distance of harmonics from the measured ones, in nats of amplitude."""
  stride = config.synthesis_stride
  ratio = (power_BxTxW.shape[-1] - 1) * 2 / config.fft_size
  places = np.round(np.arange(amplitude_BxTxYxW.shape[-1]) * ratio).astype(int)
  level = 0.5 * jnp.log(power_BxTxW[..., places] + 1e-10)
  level_BxTxW = jnp.repeat(level, stride, 1)
  loudest = jnp.max(level_BxTxW, -1, keepdims=True)
  weight = jnp.exp(0.5 * (level_BxTxW - loudest))[:, :, None] * harmonics.there
  clear = _clear(measured.strength_BxTxY) * _audible(power_BxTxW)[..., None]
  weight *= jnp.repeat(clear, stride, 1)[..., None]
  off = jnp.abs(jnp.log(amplitude_BxTxYxW + 1e-5) - level_BxTxW[:, :, None])
  return jnp.sum(weight * off) / (jnp.sum(weight) + 1e-3)
