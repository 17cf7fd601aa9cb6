"""A frame of few rows on a GPU: `sampling.frame`, of a dozen kernels a layer.

With more rows, `sampling.frame` uses the unpacked weights; XLA reads most of
them without a copy.
"""

from typing import Any

import jax
import jax.numpy as jnp

from siren_jax.experts.attention import Blocks, Cache
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.layers import sinusoid
from siren_jax.sampling.gpu import attention
from siren_jax.sampling.gpu.packing import QUERY_KEY_VALUE
from siren_jax.sampling.gpu.products import ROWS, Norm, linear

TOKENS = 2  # most tokens of a frame processed at once


def temporal(
  config: ExpertConfig,
  layers: list[Any],
  x_KxRxD: jax.Array,
  position: jax.Array,
  caches: list[Blocks],
  cross: list[Cache],
  mask_RxP: jax.Array,
) -> tuple[jax.Array, list[Blocks]]:
  """See `sampling.frame.temporal`."""
  experts, rows, dim = x_KxRxD.shape
  heads = experts, ROWS, -1, config.head_dim
  positions = sinusoid(position, dim).astype(x_KxRxD.dtype)
  places_Kx1xD = jnp.broadcast_to(positions, (experts, 1, dim))
  x = _padded(x_KxRxD + positions)
  written = []
  for i, (layer, [(k, v)], (prompt_k, prompt_v)) in enumerate(
    zip(layers, caches, cross, strict=True)
  ):
    prompted = layer["cross_attention"]
    query = linear(
      x,
      prompted["query"],
      norm=Norm(layer["cross_norm"]["scale"], config.norm_eps),
      bias=prompted["query_bias"].reshape(experts, 1, dim),
    )
    seen = attention.attend_to_prompt(
      query.reshape(heads), prompt_k, prompt_v, mask_RxP
    )
    x = linear(
      seen.reshape(x.shape),
      prompted["out"],
      bias=prompted["out_bias"][:, None],
      residual_KxBxI=x,
    )
    qkv = linear(
      x,
      layer["self_attention"][QUERY_KEY_VALUE],
      norm=Norm(layer["self_norm"]["scale"], config.norm_eps),
    )
    seen, k, v = attention.attend_to_past(qkv.reshape(heads), k, v, position)
    written.append([(k, v)])
    x = linear(
      seen.reshape(x.shape),
      layer["self_attention"]["out"],
      residual_KxBxI=x,
    )
    last = i + 1 == len(layers)
    x = _ffn(config, layer, x, None if last else places_Kx1xD)
  return x[:, :rows], written


def depth(
  config: ExpertConfig,
  layers: list[Any],
  norm: Any,
  head: jax.Array,
  x_IxRxD: jax.Array,
  past: list[list[jax.Array]],
) -> tuple[jax.Array, list[list[jax.Array]]]:
  """See `sampling.frame.depth`; the content of `past` differs."""
  tokens, rows, dim = x_IxRxD.shape
  counts = [TOKENS] + [1] * len(past[0]) if past else [tokens]
  before = sum(counts[:-1])
  places = sinusoid(before + jnp.arange(tokens), dim).astype(x_IxRxD.dtype)
  share = ROWS // TOKENS  # rows per token, of which R are used
  spread = jnp.repeat(places, share, axis=0)
  places_1xBxD = jnp.pad(spread, ((0, ROWS - len(spread)), (0, 0)))[None]
  x = jnp.pad(x_IxRxD, ((0, 0), (0, share - rows), (0, 0)))
  x = _padded(x.reshape(1, -1, dim)) + places_1xBxD
  longer = []
  for i, layer in enumerate(layers):
    qkv = linear(
      x,
      layer["self_attention"][QUERY_KEY_VALUE],
      norm=Norm(layer["self_norm"]["scale"], config.norm_eps),
    )
    longer.append([*(past[i] if past else []), qkv[0]])
    x = attention.attend_to_tokens(
      longer[-1],
      counts,
      config.heads,
      layer["self_attention"]["out"],
      x[0],
    )[None]
    last = i + 1 == len(layers)
    x = _ffn(config, layer, x, None if last else places_1xBxD)
  logits_1xBxV = linear(
    x,
    head,
    norm=Norm(norm["scale"], config.norm_eps),
    dtype=jnp.float32,
  )
  first = share * (tokens - 1)
  return logits_1xBxV[0, first : first + rows], longer


def _ffn(
  config: ExpertConfig,
  layer: Any,
  x_KxBxD: jax.Array,
  places: jax.Array | None,
) -> jax.Array:
  """x plus the feed-forward of its norm, plus the next block's positions."""
  hidden = linear(
    x_KxBxD,
    layer["ffn"]["gate"],
    norm=Norm(layer["ffn_norm"]["scale"], config.norm_eps),
    value=layer["ffn"]["value"],
  )
  return linear(
    hidden,
    layer["ffn"]["down"],
    bias=places,
    residual_KxBxI=x_KxBxD,
  )


def _padded(x_KxRxD: jax.Array) -> jax.Array:
  return jnp.pad(x_KxRxD, ((0, 0), (0, ROWS - x_KxRxD.shape[1]), (0, 0)))
