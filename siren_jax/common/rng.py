"""JAX keys derived from seed, name and step; random choice with NumPy."""

import zlib
from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np

_Option = TypeVar("_Option")


def named_key(
  root: jax.Array, name: str, step: int | jax.Array | None = None
) -> jax.Array:
  """Key for one purpose (and step); needs no state.

  Args:
    root: typed PRNG key.
    name: the purpose; its CRC-32 is folded in, on every machine the same.
    step: folded in after the name; may be traced.
  """
  key = jax.random.fold_in(root, zlib.crc32(name.encode()))
  return key if step is None else jax.random.fold_in(key, step)


def choice(rng: np.random.Generator, options: Sequence[_Option]) -> _Option:
  """One of the options; unlike `rng.choice`, makes no array of them."""
  return options[int(rng.integers(len(options)))]
