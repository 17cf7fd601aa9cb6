"""Norm, feed-forward, positions and dropout of the experts' blocks."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.experts.config import ExpertConfig


def parameter(
  module: nn.Module, name: str, axes: tuple[str | None, ...], *shape: int
) -> jax.Array:
  """Declares a parameter with the logical names of its axes.

  `ensemble.init` gives it its first value, by its name: "scale" ones,
  "...bias" zeros, all else normal.
  """
  zeros = nn.with_logical_partitioning(nn.initializers.zeros, axes)
  return module.param(name, zeros, shape)


class RMSNorm(nn.Module):
  """Root-mean-square norm, computed in float32 whatever comes in."""

  eps: float

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    scale_D = parameter(self, "scale", ("embed_vector",), x.shape[-1])
    x32 = x.astype(jnp.float32)
    power = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
    return (x32 * jax.lax.rsqrt(power + self.eps) * scale_D).astype(x.dtype)


class SwiGLU(nn.Module):
  """silu(gate) * value, without biases; gate and value share one product."""

  config: ExpertConfig

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    cfg = self.config
    fused = parameter(
      self, "gate_value", ("embed", None, "mlp"), cfg.dim, 2, cfg.ffn_dim
    )
    down = parameter(self, "down", ("mlp", "embed"), cfg.ffn_dim, cfg.dim)
    hidden = jnp.einsum("...d,dgf->...gf", x, fused.astype(x.dtype))
    hidden = nn.silu(hidden[..., 0, :]) * hidden[..., 1, :]
    return hidden @ down.astype(x.dtype)


def sinusoid(length: int, dim: int) -> jax.Array:
  """Positions [length, D]: sin on even channels, cos on odd, base 10000."""
  frequency = 10000.0 ** (-jnp.arange(0, dim, 2) / dim)
  angle = jnp.arange(length)[:, None] * frequency
  return jnp.stack([jnp.sin(angle), jnp.cos(angle)], -1).reshape(length, dim)


def dropout_bits(key: jax.Array | None, rate: float, count: int, shape):
  """Random bytes [count, *shape] for `count` dropouts; Nones for none.

  Threefry is what dropout costs on a CPU: one flat draw compiles in a tenth
  of the time of several shaped ones, and a byte is enough for a rate.
  """
  if key is None or rate == 0.0:
    return [None] * count
  bits = jax.random.bits(key, (count * math.prod(shape),), jnp.uint8)
  return bits.reshape(count, *shape)


def dropout(x: jax.Array, rate: float, bits: jax.Array | None) -> jax.Array:
  """Inverted dropout, its rate rounded to 1/256; the identity without bits."""
  if bits is None:
    return x
  dropped = round(256 * rate)
  return jnp.where(bits >= dropped, x * (256 / (256 - dropped)), 0)
