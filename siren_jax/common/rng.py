"""Named randomness: a key follows from the seed, a name and a step."""

import zlib

import jax


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
