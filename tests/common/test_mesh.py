"""Mesh shapes, rules, and where arrays really end up."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import P
from jax.sharding import AxisType

from siren_jax.common import mesh as meshes
from siren_jax.common.errors import UserError
from siren_jax.common.shards import Shard


def make(**sizes):
  return meshes.make_mesh(meshes.MeshConfig(**sizes))


def test_left_over_devices_go_to_minus_one():
  mesh = make(fsdp=2)
  assert dict(mesh.shape) == {"data": 4, "expert": 1, "fsdp": 2, "model": 1}
  assert set(mesh.axis_types) == {AxisType.Auto}


@pytest.mark.parametrize(
  "sizes, match",
  [
    (dict(data=3), "data=3, .*8 device"),
    (dict(expert=16), "expert=16.*8 device"),
    (dict(model=0), "at least 1"),
    (dict(data=-1, fsdp=-1), "at most one"),
  ],
)
def test_impossible_sizes_are_refused(sizes, match):
  with pytest.raises(UserError, match=match):
    make(**sizes)


def test_logical_names_map_to_mesh_axes():
  assert meshes.logical_spec("batch", None) == P(("data", "fsdp"), None)
  assert meshes.logical_spec("expert", "embed", "mlp") == (
    P("expert", "fsdp", "model")
  )
  # One array uses a mesh axis once: the batch has it.
  assert meshes.logical_spec("batch", "embed") == P(("data", "fsdp"), None)
  with pytest.raises(ValueError, match="'bach'"):
    meshes.logical_spec("bach")


def test_state_shardings_follow_the_metadata():
  box = nn.LogicallyPartitioned
  state = {
    "w": box(jnp.zeros((2, 8, 4)), ("expert", "embed", "mlp")),
    "plain": jnp.zeros(3),
  }
  mesh = make(expert=2, fsdp=2, model=2)
  shardings = meshes.state_shardings(jax.eval_shape(lambda: state), mesh)
  placed = jax.jit(lambda: nn.unbox(state), out_shardings=shardings)()
  assert placed["w"].sharding.spec == P("expert", "fsdp", "model")
  assert placed["w"].addressable_shards[0].data.shape == (1, 4, 2)
  assert placed["plain"].sharding.is_fully_replicated


def test_axis_that_does_not_divide_is_named():
  state = {"w": nn.LogicallyPartitioned(jnp.zeros((6, 2)), ("expert", None))}
  with pytest.raises(UserError, match="'w'.*axis of size 6 .* 4 .*expert"):
    meshes.state_shardings(jax.eval_shape(lambda: state), make(expert=4))


def test_constraint_reaches_the_activation():
  mesh = make(fsdp=2, model=2)
  double = jax.jit(lambda x: meshes.constrain(x * 2, "batch", "mlp"))
  with jax.set_mesh(mesh):
    y = double(jnp.ones((8, 4)))
  assert y.sharding.spec == P(("data", "fsdp"), "model")
  np.testing.assert_array_equal(meshes.constrain(y, "batch", None), y)


def test_constraint_without_a_mesh_does_nothing():
  x = jnp.ones((3, 5))
  assert meshes.constrain(x, "batch", "mlp") is x


def test_batch_is_spread_and_whole():
  mesh = make(fsdp=2, model=2)
  x = np.arange(16.0, dtype=np.float32).reshape(8, 2)
  batch = meshes.shard_batch({"x": x}, mesh)
  assert batch["x"].sharding.spec == P(("data", "fsdp"))
  assert batch["x"].addressable_shards[0].data.shape == (2, 2)
  np.testing.assert_array_equal(batch["x"], x)
  with pytest.raises(UserError, match="batch of 6 .* 4 devices"):
    meshes.shard_batch({"x": x[:6]}, mesh)


@pytest.mark.parametrize("sizes", [(8, 1, 1, 1), (2, 2, 2, 1), (1, 4, 1, 2)])
def test_rows_of_a_process_come_back_as_they_went(sizes):
  mesh = meshes.make_mesh(meshes.MeshConfig(*sizes))
  x = np.arange(48.0).reshape(16, 3)
  np.testing.assert_array_equal(
    meshes.own_rows(meshes.shard_batch({"x": x}, mesh)["x"]), x
  )


def test_a_process_reads_the_rows_of_its_blocks():
  assert Shard((1, 3), 4).rows(8).tolist() == [2, 3, 6, 7]
  assert meshes.process_shard(make(expert=2, fsdp=2)) == Shard((0, 1, 2, 3), 4)


@pytest.mark.parametrize("rows", [8, 3])
def test_rows_are_treated_where_they_are(rows):
  x = jnp.arange(rows * 16.0).reshape(rows, 16)
  fft = jax.jit(lambda x: meshes.by_rows(jnp.fft.rfft, x))
  alone = fft(x)
  mesh = make(fsdp=2)
  with jax.set_mesh(mesh):
    spread = rows % 8 == 0
    if spread:
      x = jax.device_put(x, meshes.batch_sharding(mesh))
    assert not spread or "all-gather" not in fft.lower(x).compile().as_text()
    np.testing.assert_allclose(fft(x), alone, rtol=1e-6, atol=1e-5)
