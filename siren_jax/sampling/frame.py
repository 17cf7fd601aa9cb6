"""One frame of the experts, from keys and values of previous frames.

Compiled by XLA; `gpu.frame` has the same two functions for few rows on a GPU.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from siren_jax.experts.attention import Blocks, Cache, Past
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.expert import DepthBlock, TemporalBlock
from siren_jax.experts.layers import RMSNorm, linear


def temporal(
  config: ExpertConfig,
  layers: list[Any],
  x_KxRxD: jax.Array,
  position: jax.Array,
  caches: list[Blocks],
  cross: list[Cache],
  mask_RxP: jax.Array,
) -> tuple[jax.Array, list[Blocks]]:
  """The temporal paths of all experts for the next frame, before their norm.

  With a single row, caches, `cross` and mask may lack its axis.

  Args:
    layers: parameters of each layer, axis K first.
    x_KxRxD: temporal input. position: of the frame in the window.
    caches: of each layer, [K, R, J, W, A]. cross: [K, R, H, P, A].

  Returns:
    [K, R, D], and the caches with this frame.
  """
  block = TemporalBlock(config, parent=None)

  def row(
    params: Any, x_D: jax.Array, cache: Blocks, cross: Cache, mask_P: jax.Array
  ) -> Any:
    return block.apply(
      {"params": params}, x_D, cache, cross, mask_P, position, method="step"
    )

  single = mask_RxP.ndim == 1
  rows = row if single else jax.vmap(row, in_axes=(None, 0, 0, 0, 0))
  rows = jax.vmap(rows, in_axes=(0, 0, 0, 0, None))
  x, written = x_KxRxD[:, 0] if single else x_KxRxD, []
  for params, cache, of_prompt in zip(layers, caches, cross, strict=True):
    x, cache = rows(params, x, cache, of_prompt, mask_RxP)
    written.append(cache)
  return x.reshape(x_KxRxD.shape), written


def depth(
  config: ExpertConfig,
  layers: list[Any],
  scale: Any,
  head: jax.Array,
  x_IxRxD: jax.Array,
  past: list[Past],
) -> tuple[jax.Array, list[Past]]:
  """Logits [R, V] of the last of a frame's next tokens, from one expert.

  Args:
    layers: parameters of each layer; like those of the last norm and the head,
      with a leading axis of 1.
    x_IxRxD: the next tokens.
    past: keys and values of previous tokens, by layer; empty at the first.

  Returns:
    The logits, and `past` with these tokens.
  """
  layers, scale, head = jax.tree.map(
    lambda x: jnp.squeeze(x, 0), (layers, scale, head)
  )
  block = DepthBlock(config, parent=None)
  x, longer = x_IxRxD, []
  for i, params in enumerate(layers):
    last = 1 if i + 1 == len(layers) else len(x)
    before = past[i] if past else None
    out: Any = block.apply({"params": params}, x, None, last, before)
    x, kept = out
    longer.append(kept)
  return linear(norm(config, scale, x[-1]), head, jnp.float32), longer


def norm(config: ExpertConfig, params: Any, x: jax.Array) -> Any:
  """RMSNorm with these parameters."""
  return RMSNorm(config.norm_eps, parent=None).apply({"params": params}, x)


def norms(config: ExpertConfig, params: Any, x_KxRxD: jax.Array) -> jax.Array:
  """`norm` of each expert."""
  return jax.vmap(functools.partial(norm, config))(params, x_KxRxD)
