"""Checksums of arrays, computed on their devices.

Orbax detects a truncated file, but not a flipped bit or reordered blocks in an
array.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

_WEIGHTED = "weighted "  # prefix of paths in current checksums
_BLOCK = 1 << 18  # elements of a NumPy array at once, to fit the CPU cache


def of_arrays(tree: Any) -> dict[str, int]:
  """Path -> sum of an array's bits, each element weighted by its position.

  It is the same for any sharding, and for a NumPy array. Of a `jax.Array`, only
  the sum is copied to the host. All processes must call it.
  """
  # Sequentially: CPU devices that sum several arrays at once can deadlock.
  return {
    _WEIGHTED + path: int(
      _on_device(leaf) if isinstance(leaf, jax.Array) else _on_host(leaf)
    )
    for path, leaf in named(tree)
  }


def verify(tree: Any, sums: Mapping[str, int]) -> None:
  """Checks the arrays of `tree` against current or pre-2026-11-26 checksums.

  Raises:
    ValueError: an array differs; the message has its path.
  """
  is_weighted = any(name.startswith(_WEIGHTED) for name in sums)
  for name, value in (of_arrays if is_weighted else _unweighted)(tree).items():
    if sums[name] != value:
      path = name.removeprefix(_WEIGHTED)
      raise ValueError(f"array {path} does not match its checksum")


def named(tree: Any) -> Iterator[tuple[str, Any]]:
  """(path, array) of each leaf, '/' between names."""
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    yield jax.tree_util.keystr(path, simple=True, separator="/"), leaf


def _weights(positions: Any) -> Any:
  """Weights: odd, to detect flipped bits, and mixed, to detect moved blocks.

  Args:
    positions: uint32, NumPy or JAX; products overflow on purpose.
  """
  mixed = positions * np.uint32(0x9E3779B1)
  return (mixed ^ (mixed >> np.uint32(15))) | np.uint32(1)


@jax.jit
def _on_device(array: jax.Array) -> jax.Array:
  bits = array.astype(jnp.uint8) if array.dtype == bool else array
  bits = jax.lax.bitcast_convert_type(bits, f"uint{8 * bits.dtype.itemsize}")
  positions, stride = jnp.zeros(array.shape, jnp.uint32), 1
  for axis in reversed(range(array.ndim)):  # Reshaping would move shards.
    along = jax.lax.broadcasted_iota(jnp.uint32, array.shape, axis)
    positions += along * np.uint32(stride % 2**32)
    stride *= array.shape[axis]
  return jnp.sum(
    bits.astype(jnp.uint32) * _weights(positions), dtype=jnp.uint32
  )


def _on_host(array: np.ndarray) -> int:
  flat = array.reshape(-1).view(f"u{array.dtype.itemsize}")
  total = 0
  for start in range(0, flat.size, _BLOCK):
    bits = flat[start : start + _BLOCK].astype(np.uint32)
    positions = np.arange(start, start + len(bits)).astype(np.uint32)
    total += int(np.sum(bits * _weights(positions), dtype=np.uint32))
  return total % 2**32


def _unweighted(tree: Any) -> dict[str, int]:
  """Checksums of older checkpoints, on the host, of each process's shards."""
  names, arrays = zip(*named(tree), strict=True)
  sums = np.asarray([_bit_sum(array) for array in arrays], np.uint32)
  if jax.process_count() > 1:
    sums = multihost_utils.process_allgather(sums).sum(0, dtype=np.uint32)
  return dict(zip(names, sums.tolist(), strict=True))


def _bit_sum(array: jax.Array | np.ndarray) -> int:
  if isinstance(array, jax.Array):
    shards = [s.data for s in array.addressable_shards if s.replica_id == 0]
  else:
    shards = [array]
  bits = f"u{array.dtype.itemsize}"
  sums = (np.asarray(x).ravel().view(bits).sum(dtype=np.uint64) for x in shards)
  return sum(int(s) for s in sums) % 2**32
