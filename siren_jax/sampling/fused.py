"""A frame of few rows on a GPU: `frame`, made of the kernels in `kernels`.

Weights are packed for them once a load: each kernel transposed, queries, keys
and values side by side, in eight bits if asked for. Where there are more rows,
`frame` takes them unpacked; XLA reads most of them as they lie.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from siren_jax.common import mesh as meshes
from siren_jax.common import tuning
from siren_jax.experts.attention import Blocks, Cache
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.layers import sinusoid
from siren_jax.sampling import kernels
from siren_jax.sampling.kernels import ROWS, Norm

TOKENS = 2  # of a frame, at most, that come at once
PACKED = "query_key_value"


def wanted(config: ExpertConfig) -> bool:
  """Whether devices and shapes are such that the kernels are of use."""
  width = config.head_dim
  sizes = config.dim, config.ffn_dim, config.codebook_size, width
  fits = all(size % 16 == 0 for size in sizes) and width & (width - 1) == 0
  return bool(fits and tuning.current().fused_rows and meshes.whole_heads())


def packed(layer: Any, int8: bool) -> Any:
  """Parameters of one block, axis K first, as the kernels read them."""
  pack = functools.partial(packed_kernel, int8=int8)
  own = layer["self_attention"]
  together = [transposed(own[name]) for name in ("query", "key", "value")]
  side_by_side = jnp.concatenate(together, 1)
  result = dict(layer)
  result["ffn"] = {name: pack(kernel) for name, kernel in layer["ffn"].items()}
  result["self_attention"] = {
    PACKED: kernels.quantised(side_by_side) if int8 else side_by_side,
    "out": pack(own["out"]),
  }
  if "cross_attention" in layer:
    cross = layer["cross_attention"]  # `prepare` reads the rest as it is.
    moved = {name: pack(cross[name]) for name in ("query", "out")}
    result["cross_attention"] = dict(cross) | moved
  return result


def unpacked(layer: Any, config: ExpertConfig, dtype: str) -> Any:
  """What `packed` was given, but for what eight bits lost."""
  heads, kv_heads, width = config.heads, config.kv_heads, config.head_dim
  unpack = functools.partial(unpacked_kernel, dtype=dtype)
  own = layer["self_attention"]
  ends = heads * width, (heads + kv_heads) * width
  query, key, value = jnp.split(unpack(own[PACKED]), ends, 2)
  by_head = *key.shape[:2], kv_heads
  result = dict(layer)
  result["ffn"] = {
    name: unpack(kernel) for name, kernel in layer["ffn"].items()
  }
  result["self_attention"] = {
    "query": query.reshape(*by_head, heads // kv_heads, width),
    "key": key.reshape(*by_head, width),
    "value": value.reshape(*by_head, width),
    "out": unpack(own["out"]),
  }
  if "cross_attention" in layer:
    cross = layer["cross_attention"]
    query = unpack(cross["query"])
    result["cross_attention"] = dict(cross) | {
      "query": query.reshape(*query.shape[:2], heads, width),
      "out": unpack(cross["out"]),
    }
  return result


def packed_kernel(kernel: jax.Array, int8: bool) -> kernels.Kernel:
  """[K, C, *E] to [K, E, C]."""
  turned = transposed(kernel)
  return kernels.quantised(turned) if int8 else turned


def unpacked_kernel(kernel: kernels.Kernel, dtype: str) -> jax.Array:
  """[K, E, C] to [K, C, E]."""
  if isinstance(kernel, kernels.Int8):
    kernel = kernel.whole(dtype)
  return transposed(kernel)


def transposed(kernel: jax.Array) -> jax.Array:
  """[K, C, *E] to [K, E, C]."""
  return kernel.reshape(*kernel.shape[:2], -1).swapaxes(1, 2)


def temporal(
  config: ExpertConfig,
  layers: list[Any],
  x_KxRxD: jax.Array,
  position: jax.Array,
  caches: list[Blocks],
  cross: list[Cache],
  mask_RxP: jax.Array,
) -> tuple[jax.Array, list[Blocks]]:
  """As `frame.temporal`."""
  experts, rows, dim = x_KxRxD.shape
  heads = experts, ROWS, -1, config.head_dim
  positions = sinusoid(position, dim).astype(x_KxRxD.dtype)
  places_Kx1xD = jnp.broadcast_to(positions, (experts, 1, dim))
  x = _padded(x_KxRxD + positions)
  written = []
  for i, (layer, [(k, v)], (prompt_k, prompt_v)) in enumerate(
    zip(layers, caches, cross, strict=True)
  ):
    attention = layer["cross_attention"]
    query = kernels.linear(
      x,
      attention["query"],
      norm=Norm(layer["cross_norm"]["scale"], config.norm_eps),
      bias=attention["query_bias"].reshape(experts, 1, dim),
    )
    seen = kernels.attend_to_prompt(
      query.reshape(heads), prompt_k, prompt_v, mask_RxP
    )
    x = kernels.linear(
      seen.reshape(x.shape),
      attention["out"],
      bias=attention["out_bias"][:, None],
      residual_KxMxE=x,
    )
    qkv = kernels.linear(
      x,
      layer["self_attention"][PACKED],
      norm=Norm(layer["self_norm"]["scale"], config.norm_eps),
    )
    seen, k, v = kernels.attend_to_past(qkv.reshape(heads), k, v, position)
    written.append([(k, v)])
    x = kernels.linear(
      seen.reshape(x.shape),
      layer["self_attention"]["out"],
      residual_KxMxE=x,
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
  """As `frame.depth`; `past` are the kernels' own."""
  tokens, rows, dim = x_IxRxD.shape
  counts = [TOKENS] + [1] * len(past[0]) if past else [tokens]
  before = sum(counts[:-1])
  places = sinusoid(before + jnp.arange(tokens), dim).astype(x_IxRxD.dtype)
  share = ROWS // TOKENS  # Rows of each token, of which R are used.
  spread = jnp.repeat(places, share, axis=0)
  places_1xMxD = jnp.pad(spread, ((0, ROWS - len(spread)), (0, 0)))[None]
  x = jnp.pad(x_IxRxD, ((0, 0), (0, share - rows), (0, 0)))
  x = _padded(x.reshape(1, -1, dim)) + places_1xMxD
  longer = []
  for i, layer in enumerate(layers):
    qkv = kernels.linear(
      x,
      layer["self_attention"][PACKED],
      norm=Norm(layer["self_norm"]["scale"], config.norm_eps),
    )
    longer.append([*(past[i] if past else []), qkv[0]])
    x = kernels.attend_to_tokens(
      longer[-1],
      counts,
      config.heads,
      layer["self_attention"]["out"],
      x[0],
    )[None]
    last = i + 1 == len(layers)
    x = _ffn(config, layer, x, None if last else places_1xMxD)
  logits_1xMxV = kernels.linear(
    x,
    head,
    norm=Norm(norm["scale"], config.norm_eps),
    dtype=jnp.float32,
  )
  first = share * (tokens - 1)
  return logits_1xMxV[0, first : first + rows], longer


def _ffn(
  config: ExpertConfig,
  layer: Any,
  x_KxMxD: jax.Array,
  places: jax.Array | None,
) -> jax.Array:
  """x plus the feed-forward of its norm, plus the next block's positions."""
  hidden = kernels.linear(
    x_KxMxD,
    layer["ffn"]["gate"],
    norm=Norm(layer["ffn_norm"]["scale"], config.norm_eps),
    value=layer["ffn"]["value"],
  )
  return kernels.linear(
    hidden,
    layer["ffn"]["down"],
    bias=places,
    residual_KxMxE=x_KxMxD,
  )


def _padded(x_KxRxD: jax.Array) -> jax.Array:
  return jnp.pad(x_KxRxD, ((0, 0), (0, ROWS - x_KxRxD.shape[1]), (0, 0)))
