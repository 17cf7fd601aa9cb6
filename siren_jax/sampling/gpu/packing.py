"""Conversion of weights to the layout of the GPU kernels, and back.

Kernels are transposed; those of queries, keys and values are concatenated, and
optionally quantized to eight bits.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from siren_jax.common import mesh as meshes
from siren_jax.common import tuning
from siren_jax.experts.config import ExpertConfig
from siren_jax.sampling.gpu.products import Int8, Kernel, quantised

QUERY_KEY_VALUE = "query_key_value"


def uses_kernels(config: ExpertConfig, rows: int = 1) -> bool:
  """Whether the GPU kernels are used for `rows` rows on these devices."""
  width = config.head_dim
  sizes = config.dim, config.ffn_dim, config.codebook_size, width
  fits = all(size % 16 == 0 for size in sizes) and width & (width - 1) == 0
  few = rows <= tuning.current().fused_rows
  return fits and few and meshes.has_all_heads()


def packed(layer: Any, int8: bool) -> Any:
  """Parameters of one block, axis K first, in the layout of the kernels."""
  pack = functools.partial(packed_kernel, int8=int8)
  own = layer["self_attention"]
  together = [transposed(own[name]) for name in ("query", "key", "value")]
  side_by_side = jnp.concatenate(together, 1)
  result = dict(layer)
  result["ffn"] = {name: pack(kernel) for name, kernel in layer["ffn"].items()}
  result["self_attention"] = {
    QUERY_KEY_VALUE: quantised(side_by_side) if int8 else side_by_side,
    "out": pack(own["out"]),
  }
  if "cross_attention" in layer:
    cross = layer["cross_attention"]  # `prepare` reads the rest as it is.
    moved = {name: pack(cross[name]) for name in ("query", "out")}
    result["cross_attention"] = dict(cross) | moved
  return result


def unpacked(layer: Any, config: ExpertConfig, dtype: str) -> Any:
  """Inverse of `packed`, up to the error of quantization."""
  heads, kv_heads, width = config.heads, config.kv_heads, config.head_dim
  unpack = functools.partial(unpacked_kernel, dtype=dtype)
  own = layer["self_attention"]
  ends = heads * width, (heads + kv_heads) * width
  query, key, value = jnp.split(unpack(own[QUERY_KEY_VALUE]), ends, 2)
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


def packed_kernel(kernel: jax.Array, int8: bool) -> Kernel:
  """[K, D, *I] to [K, I, D]."""
  turned = transposed(kernel)
  return quantised(turned) if int8 else turned


def unpacked_kernel(kernel: Kernel, dtype: str) -> jax.Array:
  """[K, I, D] to [K, D, I]."""
  if isinstance(kernel, Int8):
    kernel = kernel.whole(dtype)
  return transposed(kernel)


def transposed(kernel: jax.Array) -> jax.Array:
  """[K, D, *I] to [K, I, D]."""
  return kernel.reshape(*kernel.shape[:2], -1).swapaxes(1, 2)
