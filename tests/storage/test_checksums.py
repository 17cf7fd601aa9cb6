"""Checksums: what they notice, and that they are the same wherever they lie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.common import mesh as meshes
from siren_jax.storage import checksums

TYPES = ("float32", "bfloat16", "int32", "uint8", "bool")


def noise(dtype, shape=(8, 6, 5)):
  bits = np.random.default_rng(0).integers(0, 2**31, shape)
  return np.asarray(jnp.asarray(bits, jnp.int32).astype(dtype))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(8, 6, 5), (16,), (8, 0), ()])
def test_numpy_and_any_sharding_have_one_sum(dtype, shape):
  array = noise(dtype, shape)
  expected = checksums.of_arrays({"x": array})
  assert checksums.of_arrays({"x": jnp.asarray(array)}) == expected
  if shape:
    mesh = meshes.make_mesh(meshes.MeshConfig(data=4, model=2))
    for spec in (jax.P("data"), jax.P(("data", "model")), jax.P()):
      sharding = jax.NamedSharding(mesh, spec)
      placed = jax.device_put(array, sharding)
      assert checksums.of_arrays({"x": placed}) == expected


def test_a_large_array_is_summed_in_blocks(monkeypatch):
  array = noise("float32", (100, 7))
  whole = checksums.of_arrays({"x": array})
  monkeypatch.setattr(checksums, "_BLOCK", 64)
  assert checksums.of_arrays({"x": array}) == whole


def test_no_array_travels_for_its_sum():
  mesh = meshes.make_mesh(meshes.MeshConfig(data=8))
  placed = jax.device_put(
    noise("float32"), jax.NamedSharding(mesh, jax.P("data"))
  )
  text = checksums._on_device.lower(placed).compile().as_text()
  assert "all-reduce" in text and "all-gather" not in text


def flipped(array, bit):
  bits = array.copy().view(f"u{array.itemsize}")
  bits[3, 2, 1] ^= 1 << bit
  return bits.view(array.dtype)


CHANGES = {
  "lowest bit": lambda x: flipped(x, 0),
  "highest bit": lambda x: flipped(x, 8 * x.itemsize - 1),
  "rows in another order": lambda x: x[[1, 0, *range(2, 8)]],
  "another axis first": lambda x: x.swapaxes(1, 2).reshape(x.shape),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_noticed(change, dtype):
  array = noise(dtype)
  sums = checksums.of_arrays({"a": {"x": array}})
  checksums.verify({"a": {"x": jnp.asarray(array)}}, sums)
  changed = change(array)
  for tree in (changed, jnp.asarray(changed)):
    with pytest.raises(ValueError, match="array a/x does not match"):
      checksums.verify({"a": {"x": tree}}, sums)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sums_of_older_checkpoints_are_still_compared(dtype):
  """They are those of the bits, whatever their order."""
  array = noise(dtype)
  bits = array.view(f"u{array.itemsize}")
  sums = {"x": int(bits.sum(dtype=np.uint64)) % 2**32, "json data": 1}
  for kind in (np.asarray, jnp.asarray):
    checksums.verify({"x": kind(array)}, sums)
    with pytest.raises(ValueError, match="array x does not match"):
      checksums.verify({"x": kind(flipped(array, 5))}, sums)
