"""JAX keys derived from seed, name and step; random choice with NumPy."""

import zlib
from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np

from siren_jax.common.errors import UserError

MAX_SEED = 2**32
_Option = TypeVar("_Option")


def check_seed(seed: int) -> None:
  """Checks that every generator takes the seed.

  Raises:
    UserError: the message has the range.
  """
  if not 0 <= seed < MAX_SEED:
    raise UserError(f"seed {seed}: must be 0 or more and below {MAX_SEED}")


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
