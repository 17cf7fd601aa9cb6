"""Text tower: a RoBERTa-shaped transformer encoder.

The small text tower and the teacher (`clap/teacher.py`) use the same module
and differ in their `TextConfig` only.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.clap.config import TextConfig

_NEGATIVE = -1e9  # finite: a row that is all padding must not become NaN


def partitioned(axes: tuple[str | None, str | None]) -> Any:
  """Initializer of a matrix with logical axis names."""
  return nn.with_logical_partitioning(nn.initializers.normal(0.02), axes)


def dense(
  width: int, axes: tuple[str | None, str | None], name: str | None
) -> nn.Dense:
  """Affine map whose kernel has logical axis names."""
  return nn.Dense(width, kernel_init=partitioned(axes), name=name)


class SelfAttention(nn.Module):
  """Multi-head self-attention that ignores padding."""

  width: int
  heads: int

  @nn.compact
  def __call__(self, x_BxPxC: jax.Array, mask_BxP: jax.Array) -> jax.Array:
    batch, length, _ = x_BxPxC.shape
    head_width = self.width // self.heads

    def project(name: str) -> jax.Array:
      y = dense(self.width, ("embed", "heads"), name)(x_BxPxC)
      return y.reshape(batch, length, self.heads, head_width)

    query, key, value = (project(name) for name in ("query", "key", "value"))
    scores = jnp.einsum("bphc,bqhc->bhpq", query, key) / head_width**0.5
    scores = jnp.where(mask_BxP[:, None, None, :], scores, _NEGATIVE)
    weights = jax.nn.softmax(scores, axis=-1)
    y = jnp.einsum("bhpq,bqhc->bphc", weights, value)
    y = y.reshape(batch, length, self.width)
    return dense(self.width, ("heads", "embed"), "out")(y)


class EncoderLayer(nn.Module):
  """Post-norm transformer layer, exact GELU (BERT, RoBERTa)."""

  config: TextConfig

  @nn.compact
  def __call__(self, x_BxPxC: jax.Array, mask_BxP: jax.Array) -> jax.Array:
    cfg = self.config
    y = SelfAttention(cfg.width, cfg.heads, name="attention")(x_BxPxC, mask_BxP)
    x_BxPxC = nn.LayerNorm(cfg.norm_eps, name="attention_norm")(x_BxPxC + y)
    y = dense(cfg.mlp_width, ("embed", "mlp"), "up")(x_BxPxC)
    y = jax.nn.gelu(y, approximate=False)
    y = dense(cfg.width, ("mlp", "embed"), "down")(y)
    return nn.LayerNorm(cfg.norm_eps, name="mlp_norm")(x_BxPxC + y)


class TextEncoder(nn.Module):
  """Token ids to contextual tokens, `ids_BxP, mask_BxP -> tokens_BxPxC`."""

  config: TextConfig

  @nn.compact
  def __call__(self, ids_BxP: jax.Array, mask_BxP: jax.Array) -> jax.Array:
    cfg = self.config
    words_VxC = self.param(
      "words",
      partitioned(("vocab", "embed")),
      (cfg.vocab_size, cfg.word_width),
    )
    positions_PxC = self.param(
      "positions",
      partitioned((None, "embed")),
      (cfg.max_tokens, cfg.width),
    )
    x_BxPxC = words_VxC[ids_BxP]
    if cfg.word_width != cfg.width:
      x_BxPxC = dense(cfg.width, (None, "embed"), "widen")(x_BxPxC)
    x_BxPxC = x_BxPxC + positions_PxC[: ids_BxP.shape[1]]
    x_BxPxC = nn.LayerNorm(cfg.norm_eps, name="norm")(x_BxPxC)
    for i in range(cfg.layers):
      x_BxPxC = EncoderLayer(cfg, name=f"layer_{i}")(x_BxPxC, mask_BxP)
    return x_BxPxC
