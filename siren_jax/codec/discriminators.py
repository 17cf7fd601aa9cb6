"""Multi-resolution STFT discriminators and their least-squares losses.

After UnivNet (Jang et al. 2021) and DAC (Kumar et al. 2023, section 3.3):
small convolutions over the complex spectrogram at several window sizes.
"""

import functools
import operator

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.audio import stft

# All layers but the last divide the frequency axis by four.
_LAYERS = 4


class SpectrogramDiscriminator(nn.Module):
  """Judges patches of one spectrogram; returns every layer's features."""

  fft_size: int
  width: int

  @nn.compact
  def __call__(self, audio_BxS: jax.Array) -> list[jax.Array]:
    hop = self.fft_size // 4
    audio = jnp.pad(audio_BxS, ((0, 0), (0, -audio_BxS.shape[1] % hop)))
    spectra = stft.stft(audio, self.fft_size, hop)
    power = stft.power(spectra) + 1e-8
    shrink = power**-0.35
    x = jnp.stack(
      [spectra.real * shrink, spectra.imag * shrink, 0.1 * jnp.log(power)], -1
    )
    features = []
    for i in range(_LAYERS):
      x = nn.Conv(self.width, (3, 8), strides=(1, 4), name=f"conv_{i}")(x)
      x = nn.leaky_relu(x, 0.1)
      features.append(x)
    features.append(nn.Conv(1, (3, 3), name="judge")(x))
    return features


class Discriminators(nn.Module):
  """One discriminator per window size."""

  fft_sizes: tuple[int, ...]
  width: int

  @nn.compact
  def __call__(self, audio_BxS: jax.Array) -> list[list[jax.Array]]:
    return [
      SpectrogramDiscriminator(size, self.width, name=f"window_{size}")(
        audio_BxS
      )
      for size in self.fft_sizes
    ]


def discriminator_loss(real: list, fake: list) -> jax.Array:
  """Loss of the discriminators: real patches to one, rendered ones to zero."""
  terms = (
    jnp.mean((r[-1] - 1) ** 2) + jnp.mean(f[-1] ** 2)
    for r, f in zip(real, fake, strict=True)
  )
  return functools.reduce(operator.add, terms) / len(real)


def generator_loss(fake: list) -> jax.Array:
  """Adversarial loss of the codec: rendered patches to one."""
  terms = (jnp.mean((f[-1] - 1) ** 2) for f in fake)
  return functools.reduce(operator.add, terms) / len(fake)


def feature_loss(real: list, fake: list) -> jax.Array:
  """Mean absolute difference of features, relative to each layer's scale."""
  terms = [
    jnp.mean(jnp.abs(jax.lax.stop_gradient(r) - f))
    / (jnp.mean(jnp.abs(jax.lax.stop_gradient(r))) + 1e-6)
    for rs, fs in zip(real, fake, strict=True)
    for r, f in zip(rs[:-1], fs[:-1], strict=True)
  ]
  return functools.reduce(operator.add, terms) / len(terms)
