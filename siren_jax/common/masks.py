"""Masked means."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def masked_mean(
  x: jax.Array, mask: jax.Array, axis: int | Sequence[int] | None = None
) -> jax.Array:
  """Mean of `x` where `mask` is true; 0 if it is nowhere true.

  Args:
    x: any shape. Values under a false mask are ignored, NaN included.
    mask: bool, broadcastable to `x`.
    axis: axes to reduce; all by default.
  """
  mask = jnp.broadcast_to(mask, x.shape).astype(bool)
  total = jnp.sum(jnp.where(mask, x, 0), axis)
  count = jnp.sum(mask, axis, dtype=total.dtype)
  return total / jnp.maximum(count, 1)
