"""Stage 1: isolation, what is trained and what is not, ways to run it."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.common import mesh as meshes
from siren_jax.training import OptimizerConfig

OPTIMIZER = OptimizerConfig(learning_rate=1e-2, warmup_steps=0, steps=50)


@pytest.fixture(scope="module")
def batch(tiny_config):
  keys = jax.random.split(jax.random.key(5), 2)
  return {
    "codes_BxNxT": jax.random.randint(keys[0], (4, 4, 6), 0, 16),
    "prompt_BxPxC": jax.random.normal(keys[1], (4, 3, 8)),
    "frame_mask_BxT": jnp.arange(6) < jnp.array([[6], [5], [6], [2]]),
    "prompt_mask_BxP": jnp.arange(3) < jnp.array([[3], [1], [2], [3]]),
  }


@pytest.fixture(scope="module")
def make(tiny_config, tables):
  """(config changes, stage settings) -> task, its first state, its step."""

  def make(stage=None, optimizer=OPTIMIZER, **changes):
    config = dataclasses.replace(tiny_config, **changes)
    stage = experts.Stage1Config(**(stage or {"condition_dropout": 0.0}))
    task = experts.Stage1Task(config, optimizer, tables, stage)
    return task, nn.unbox(task.init(jax.random.key(0))), jax.jit(task.step)

  return make


@pytest.fixture(scope="module")
def plain(make, batch):
  """The reference: one update, and the metrics it reports."""
  task, state, step = make()
  return task, state, *step(state, batch, jax.random.key(1))


def _assert_same(one, other, atol=2e-6):
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=atol), one, other
  )


def test_it_learns_and_leaves_the_tables_alone(make, batch):
  task, state, step = make({"ema_decay": 0.5}, dropout=0.1)
  first = task.evaluate(state, batch)
  params = state.params
  for i in range(30):
    state, metrics = step(state, batch, jax.random.key(i))
  last = task.evaluate(state, batch)
  assert last["loss"] < 0.7 * first["loss"]
  assert metrics["loss"] == pytest.approx(
    np.mean([metrics[f"ce_codebook_{n}"] for n in range(4)]), rel=1e-5
  )
  frozen = nn.unbox(task.init(jax.random.key(0))).extra
  jax.tree.map(np.testing.assert_array_equal, state.extra, frozen)
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, params)
  assert all(jax.tree.leaves(moved))
  apart = jax.tree.map(
    lambda a, b: bool((a != b).any()), state.params, state.ema
  )
  assert any(jax.tree.leaves(apart))


@pytest.mark.parametrize("loop", ["map", "vmap"])
def test_experts_are_isolated(plain, make, batch, loop):
  _, state, reference, _ = plain
  broken = state.replace(
    params=jax.tree.map(lambda x: x.at[1].set(jnp.nan), state.params)
  )
  _, _, step = make(expert_loop=loop)
  after, _ = step(broken, batch, jax.random.key(1))
  first = functools.partial(jax.tree.map, lambda x: x[0])
  _assert_same(first(after.params), first(reference.params))


@pytest.mark.parametrize(
  "changes",
  [{"scan_layers": True, "expert_loop": "vmap"}, {"remat": True}],
  ids=["scanned", "rematerialised"],
)
def test_other_ways_to_run_it_are_the_same(plain, make, batch, changes):
  _, state, reference, metrics = plain
  _, _, step = make(**changes)
  after, others = step(state, batch, jax.random.key(1))
  _assert_same(after.params, reference.params)
  _assert_same(others, metrics, atol=1e-5)


def test_sharded_over_data_and_experts_it_is_the_same(plain, batch):
  task, state, reference, _ = plain
  mesh = meshes.make_mesh(
    meshes.MeshConfig(data=2, expert=2, model=2), jax.devices()[:8]
  )
  with jax.set_mesh(mesh):
    shardings = meshes.state_shardings(
      jax.eval_shape(task.init, jax.random.key(0)), mesh
    )
    gate = shardings.params["temporal"]["ffn"]["gate"]
    assert gate.spec[:4] == ("expert", None, "fsdp", "model")
    after, _ = jax.jit(task.step)(
      jax.device_put(state, shardings),
      meshes.shard_batch(jax.device_get(batch), mesh),
      jax.random.key(1),
    )
  _assert_same(after.params, reference.params, atol=1e-5)


def test_only_matrices_decay(make, batch):
  nothing = dict(batch, frame_mask_BxT=jnp.zeros((4, 6), bool))
  optimizer = dataclasses.replace(OPTIMIZER, weight_decay=0.5)
  _, state, step = make(optimizer=optimizer)
  after, _ = step(state, nothing, jax.random.key(1))
  for path, new in jax.tree_util.tree_leaves_with_path(after.params):
    old = functools.reduce(lambda x, p: x[p.key], path, state.params)
    vector = path[-1].key.endswith(("bias", "scale"))
    expected = old if vector else old * (1 - 1e-2 * 0.5)
    np.testing.assert_allclose(new, expected, atol=1e-6)


def test_without_its_condition_the_prompt_cannot_matter(make, batch):
  _, state, step = make({"condition_dropout": 1.0})
  other = dict(batch, prompt_BxPxC=3 - batch["prompt_BxPxC"])
  key = jax.random.key(1)
  _, one = step(state, batch, key)
  _, two = step(state, other, key)
  _assert_same(one, two, atol=0)


def test_microbatches_make_the_same_update(make, batch):
  whole = dict(batch, frame_mask_BxT=jnp.ones((4, 6), bool))
  _, state, step = make()
  one, _ = step(state, whole, jax.random.key(1))
  _, _, step = make({"condition_dropout": 0.0, "accumulate": 2})
  two, _ = step(state, whole, jax.random.key(1))
  _assert_same(one.params, two.params, atol=1e-5)
