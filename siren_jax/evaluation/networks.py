"""The networks whose embeddings the field compares: VGGish and PANNs' Cnn14.

Both take log mel spectra and stack 3 x 3 convolutions. Batch norm is folded
into the convolutions when weights are imported (`weights.scorers`).
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.audio import mel, stft
from siren_jax.common.precision import exact

_VGGISH_WIDTHS = ((64,), (128,), (256, 256), (512, 512))
_CNN14_WIDTHS = (64, 128, 256, 512, 1024, 2048)


class Convolution(nn.Module):
  """3 x 3, zero padded, then ReLU; over [B, T, M, D]."""

  width: int

  @nn.compact
  def __call__(self, x_BxTxMxD: jax.Array) -> jax.Array:
    return nn.relu(nn.Conv(self.width, (3, 3), name="conv")(x_BxTxMxD))


@dataclasses.dataclass(frozen=True)
class VGGishConfig:
  """`relu` keeps the network's last ReLU, which FAD leaves out."""

  relu: bool = False
  hidden: int = 4096


class VGGish(nn.Module):
  """Log mel [B, 96, 64] to embeddings [B, 128] (Hershey et al. 2017)."""

  config: VGGishConfig = VGGishConfig()

  @nn.compact
  @exact
  def __call__(self, patches_BxTxM: jax.Array) -> jax.Array:
    x = patches_BxTxM[..., None]
    for i, widths in enumerate(_VGGISH_WIDTHS):
      for j, width in enumerate(widths):
        x = Convolution(width, name=f"conv_{i}_{j}")(x)
      x = nn.max_pool(x, (2, 2), (2, 2))
    x = x.reshape(len(x), -1)
    for i, width in enumerate((self.config.hidden, self.config.hidden)):
      x = nn.relu(nn.Dense(width, name=f"dense_{i}")(x))
    x = nn.Dense(128, name="embedding")(x)
    return nn.relu(x) if self.config.relu else x


@dataclasses.dataclass(frozen=True)
class Cnn14Config:
  """Front end of a Cnn14; the two published ones are below.

  Attributes:
    sample_rate: Hz.
    window, hop: samples. low, high: Hz, of the mel bands.
    classes: of AudioSet.
  """

  sample_rate: int = 16000
  window: int = 512
  hop: int = 160
  low: float = 50.0
  high: float = 8000.0
  mels: int = 64
  classes: int = 527


CNN14_16K = Cnn14Config()
CNN14_32K = Cnn14Config(sample_rate=32000, window=1024, hop=320, high=14000.0)


class Cnn14(nn.Module):
  """Audio [B, S] to embeddings [B, 2048] and class logits (Kong et al. 2020).

  Published outputs are sigmoids of the logits.
  """

  config: Cnn14Config

  @nn.compact
  @exact
  def __call__(self, audio_BxS: jax.Array) -> tuple[jax.Array, jax.Array]:
    cfg = self.config
    x = mel.decibels(
      audio_BxS, cfg.sample_rate, cfg.window, cfg.hop, cfg.mels, cfg.low,
      cfg.high,
    )  # fmt: skip
    scale = self.param("mel_scale", nn.initializers.ones, (cfg.mels,))
    shift = self.param("mel_shift", nn.initializers.zeros, (cfg.mels,))
    x = (x * scale + shift)[..., None]
    last = len(_CNN14_WIDTHS) - 1
    for i, width in enumerate(_CNN14_WIDTHS):
      for j in range(2):
        x = Convolution(width, name=f"conv_{i}_{j}")(x)
      if i < last:
        x = nn.avg_pool(x, (2, 2), (2, 2))
    x_BxTxD = jnp.mean(x, 2)
    x = jnp.max(x_BxTxD, 1) + jnp.mean(x_BxTxD, 1)
    embedding = nn.relu(nn.Dense(x.shape[-1], name="dense")(x))
    return embedding, nn.Dense(cfg.classes, name="classes")(embedding)


def vggish_patches(audio_BxS: jax.Array) -> jax.Array:
  """Patches [B, I, 96, 64] of 0.96 s of audio at 16 kHz, without overlap.

  Windows of 25 ms every 10 ms; what does not fill a patch is left out.
  """
  spectra = stft.stft(audio_BxS, 400, 160, "valid", fft_size=512)
  filters = mel.filters(
    16000, 512, 64, 125.0, 7500.0, scale="htk", norm=None, over="mel"
  )
  log_mel_BxTxM = jnp.log(mel.bands(jnp.abs(spectra), filters) + 0.01)
  count = log_mel_BxTxM.shape[1] // 96
  return log_mel_BxTxM[:, : count * 96].reshape(len(audio_BxS), count, 96, -1)


def init_vggish(key: jax.Array, config: VGGishConfig) -> Any:
  """Random parameters."""
  return VGGish(config).init(key, jnp.zeros((1, 96, 64)))["params"]


def init_cnn14(key: jax.Array, config: Cnn14Config) -> Any:
  """Random parameters."""
  audio_BxS = jnp.zeros((1, config.sample_rate))
  return Cnn14(config).init(key, audio_BxS)["params"]
