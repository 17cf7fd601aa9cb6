"""Named JAX keys (a key follows from seed, name and step); NumPy choices."""

import zlib
from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np

_Option = TypeVar("_Option")


def named_key(
  root: jax.Array, name: str, step: int | jax.Array | None = None
) -> jax.Array:
  """Key for one purpose (and step); nothing to carry, nothing to save.

  Args:
    root: typed PRNG key.
    name: the purpose; its CRC-32 is folded in, the same on every machine.
    step: folded in after the name; may be traced.
  """
  key = jax.random.fold_in(root, zlib.crc32(name.encode()))
  return key if step is None else jax.random.fold_in(key, step)


def choice(rng: np.random.Generator, options: Sequence[_Option]) -> _Option:
  """One of the options; `rng.choice` would make an array of them."""
  return options[int(rng.integers(len(options)))]
