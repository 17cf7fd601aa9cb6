"""Audio tower: log-mel patches, ConvNeXt stages, attention pooling.

Our design: few parameters for small data sets, and only operations that XLA
runs fast on a CPU (matrix products and shifted multiplies, no convolutions).
"""

import functools
import operator

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.audio import mel, stft
from siren_jax.clap.config import AudioConfig
from siren_jax.clap.statistics import StatisticsEncoder
from siren_jax.clap.text_tower import dense

# Power below this share of equally loud white noise counts as silence.
_FLOOR = 1e-5


def log_mel(
  audio_BxS: jax.Array,
  config: AudioConfig,
  num_frames: int | jax.Array | None = None,
) -> jax.Array:
  """Log-mel frames [B, S/hop, M] of the loudness-normalised audio.

  S must be a multiple of the hop. Gain has no effect; silence stays finite.
  `num_frames`: length of the audio before its zero padding. None: all.
  """
  power = jnp.mean(audio_BxS**2, axis=1, keepdims=True)
  if num_frames is not None:
    power *= audio_BxS.shape[1] / (num_frames * config.hop)
  audio_BxS = audio_BxS * jax.lax.rsqrt(power + 1e-10)
  spectra = stft.stft(audio_BxS, config.window, config.hop)
  # 3/8 is the mean square of a Hann window.
  power = stft.power(spectra) / (0.375 * config.window)
  filters = mel.filters(
    config.sample_rate,
    config.window,
    config.num_mels,
    scale="htk",
    norm="sum",
  )
  return jnp.log10(mel.bands(power, filters) + _FLOOR)


def patches(x_BxTxMxD: jax.Array, size: int) -> jax.Array:
  """Joins cells of size x size: [B, T/size, M/size, size * size * D]."""
  batch, frames, mels, width = x_BxTxMxD.shape
  x = x_BxTxMxD.reshape(batch, frames // size, size, mels // size, size, width)
  x = x.swapaxes(2, 3)
  return x.reshape(batch, frames // size, mels // size, -1)


def shifted_filter(x_BxTxMxD: jax.Array, filters: jax.Array) -> jax.Array:
  """One filter [k, k, D] per channel, zero padded: same shape."""
  _, frames, mels, _ = x_BxTxMxD.shape
  size = len(filters)
  pad = (size // 2, size // 2)
  x = jnp.pad(x_BxTxMxD, ((0, 0), pad, pad, (0, 0)))
  terms = (
    x[:, i : i + frames, j : j + mels] * filters[i, j]
    for i in range(size)
    for j in range(size)
  )
  return functools.reduce(operator.add, terms)


def within(
  x_BxTxMxD: jax.Array, num_steps: int | jax.Array | None
) -> jax.Array:
  """Sets steps from `num_steps` on to zero, like padding; None: none."""
  if num_steps is None:
    return x_BxTxMxD
  inside_T = jnp.arange(x_BxTxMxD.shape[1]) < num_steps
  return jnp.where(inside_T[:, None, None], x_BxTxMxD, 0)


class Block(nn.Module):
  """ConvNeXt block on a time-frequency grid, filters as shifted multiplies."""

  kernel: int

  @nn.compact
  def __call__(
    self, x_BxTxMxD: jax.Array, num_steps: int | jax.Array | None = None
  ) -> jax.Array:
    width = x_BxTxMxD.shape[-1]
    filters = self.param(
      "filter",
      nn.initializers.normal(1 / self.kernel),
      (self.kernel, self.kernel, width),
    )
    y = shifted_filter(within(x_BxTxMxD, num_steps), filters)
    y = nn.LayerNorm(name="norm")(y)
    y = jax.nn.gelu(dense(3 * width, ("embed", "mlp"), "up")(y))
    y = dense(width, ("mlp", "embed"), "down")(y)
    scale = self.param("scale", nn.initializers.constant(0.3), (width,))
    return x_BxTxMxD + scale * y


class AttentionPool(nn.Module):
  """Each head averages its channels over the unmasked cells I."""

  heads: int

  @nn.compact
  def __call__(self, x_BxIxD: jax.Array, mask_I: jax.Array) -> jax.Array:
    batch, cells, width = x_BxIxD.shape
    scores_BxIxH = dense(self.heads, ("embed", None), "score")(x_BxIxD)
    scores_BxIxH = jnp.where(mask_I[:, None], scores_BxIxH, -1e9)
    weights_BxIxH = jax.nn.softmax(scores_BxIxH, axis=1)
    values = x_BxIxD.reshape(batch, cells, self.heads, width // self.heads)
    pooled = jnp.einsum("bih,bihd->bhd", weights_BxIxH, values)
    return pooled.reshape(batch, width)


class AudioEncoder(nn.Module):
  """`audio_BxS -> x_BxD`, any S of at least one sample.

  `num_samples`: length of the audio; the rest must be zeros.
  """

  config: AudioConfig

  @nn.compact
  def __call__(
    self, audio_BxS: jax.Array, num_samples: int | jax.Array | None = None
  ) -> jax.Array:
    cfg = self.config
    length = audio_BxS.shape[1]
    rest = -length % (cfg.hop * cfg.stride)
    audio_BxS = jnp.pad(audio_BxS, ((0, 0), (0, rest)))
    frames = -(-(length if num_samples is None else num_samples) // cfg.hop)
    filled = None  # frames, rounded up to whole cells of the last stage
    if num_samples is not None:
      filled = -(-frames // cfg.stride) * cfg.stride
    x = log_mel(audio_BxS, cfg, filled)
    if cfg.statistics:
      mask_T = jnp.arange(x.shape[1]) < frames
      return StatisticsEncoder(cfg, name="statistics")(x, mask_T)
    x = patches(x[..., None], cfg.patch)
    x = dense(cfg.widths[0], (None, "embed"), "patch")(x)
    # Position along mel: the filters alone could not tell low from high.
    x = x + self.param(
      "bands", nn.initializers.normal(0.02), (x.shape[2], cfg.widths[0])
    )
    for stage, (width, blocks) in enumerate(
      zip(cfg.widths, cfg.blocks, strict=True)
    ):
      if stage:
        x = nn.LayerNorm(name=f"halve_norm_{stage}")(x)
        x = dense(width, (None, "embed"), f"halve_{stage}")(patches(x, 2))
      steps = None if filled is None else filled // (cfg.patch * 2**stage)
      for i in range(blocks):
        x = Block(cfg.kernel, name=f"block_{stage}_{i}")(x, steps)
    x = nn.LayerNorm(name="norm")(x)
    batch, total, bands, width = x.shape
    mask_I = jnp.repeat(jnp.arange(total) * cfg.stride < frames, bands)
    x = x.reshape(batch, total * bands, width)
    return AttentionPool(cfg.heads, name="pool")(x, mask_I)
