"""Stage 1: what is trained and what is not, isolation, what moves."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.common import mesh as meshes
from siren_jax.experts.task import Stage1Config, Stage1Task
from siren_jax.training import OptimizerConfig, trainer

OPTIMIZER = OptimizerConfig(
  learning_rate=1e-2, warmup_steps=0, steps=50, weight_decay=0.5
)


@pytest.fixture(scope="module")
def batch():
  keys = jax.random.split(jax.random.key(5), 2)
  return {
    "codes_BxNxT": jax.random.randint(keys[0], (4, 4, 6), 0, 16),
    "prompt_BxPxC": jax.random.normal(keys[1], (4, 3, 8)),
    "frame_mask_BxT": jnp.arange(6) < jnp.array([[6], [5], [6], [2]]),
    "prompt_mask_BxP": jnp.arange(3) < jnp.array([[3], [1], [2], [3]]),
  }


@pytest.fixture(scope="module")
def make(tiny_config, tables):
  """(stage settings, dropout, execution) -> task, first state, step."""

  def make(stage, dropout=0.0, **execution):
    config = dataclasses.replace(
      tiny_config, temporal_layers=1, depth_layers=1, dropout=dropout
    )
    task = Stage1Task(
      config, OPTIMIZER, tables, Stage1Config(**stage),
      execution=experts.Execution(**execution),
    )  # fmt: skip
    state = nn.unbox(jax.jit(task.init)(jax.random.key(0)))
    return task, state, jax.jit(task.step)

  return make


@pytest.fixture(scope="module")
def plain(make, batch):
  """The reference: task, first state, and the state after one update."""
  task, state, step = make({"condition_dropout": 0.0})
  return task, state, step, step(state, batch, jax.random.key(1))[0]


def _assert_same(one, other, atol=2e-6):
  close = functools.partial(np.testing.assert_allclose, atol=atol)
  jax.tree.map(close, one, other)


def _still(old, new) -> set[str]:
  """Names of the arrays that are the same in both."""
  same = jax.tree.map(lambda a, b: bool((a == b).all()), old, new)
  leaves = jax.tree_util.tree_leaves_with_path(same)
  return {"/".join(k.key for k in path[-2:]) for path, equal in leaves if equal}


@pytest.mark.long
def test_training_learns_and_ignores_a_prompt_that_is_dropped(
  make, batch, tables
):
  """It learns; tables stay; the prompt cannot matter where it is dropped."""
  task, first, step = make(
    {"ema_decay": 0.5, "condition_dropout": 1.0}, dropout=0.1
  )
  other = dict(batch, prompt_BxPxC=3 - batch["prompt_BxPxC"])
  state, metrics = step(first, batch, jax.random.key(0))
  _assert_same(step(first, other, jax.random.key(0))[1], metrics, atol=0)
  for i in range(30):
    state, metrics = step(state, batch, jax.random.key(i))
  assert metrics["loss"] == pytest.approx(
    np.mean([metrics[f"ce_codebook_{n}"] for n in range(4)]), rel=1e-5
  )
  evaluate = jax.jit(task.evaluate)
  assert evaluate(state, batch)["loss"] < 0.7 * evaluate(first, batch)["loss"]
  # Attention to one token, as without a prompt, does not depend on queries.
  still = {
    "cross_norm/scale",
    "cross_attention/query_bias",
    "cross_attention/key_bias",
  }
  assert _still(first.params, state.params) <= still
  assert _still(state.params, state.ema) <= still
  assert _still(first.extra, state.extra) == {f"embedding/{t}" for t in tables}


@pytest.mark.parametrize("loop", ["map", "vmap"])
def test_an_expert_that_is_nan_does_not_spoil_another(plain, make, batch, loop):
  _, state, step, _ = plain
  if loop == "vmap":
    *_, step = make({"condition_dropout": 0.0}, expert_loop=loop)
  broken = jax.tree.map(lambda x: x.at[1].set(jnp.nan), state.params)
  whole, _ = step(state, batch, jax.random.key(1))
  after, _ = step(state.replace(params=broken), batch, jax.random.key(1))
  first = functools.partial(jax.tree.map, lambda x: x[0])
  _assert_same(first(after.params), first(whole.params), atol=0)


def test_training_continues_from_given_parameters(plain, tables):
  task, _, _, trained = plain
  again = Stage1Task(
    task.config, OPTIMIZER, tables, start=jax.device_get(trained.params)
  )
  init = jax.jit(again.init)
  state = nn.unbox(init(jax.random.key(9), *again.init_args))
  _assert_same(state.params, trained.params, atol=0)
  _assert_same(state.extra, trained.extra, atol=0)


def _program(task, batch, **sizes) -> str:
  """The compiled training step for a mesh of these sizes."""
  count = int(np.prod(list(sizes.values())))
  mesh = meshes.make_mesh(
    meshes.MeshConfig(**{"data": 1, **sizes}), jax.devices()[:count]
  )
  with jax.set_mesh(mesh):
    state = trainer.abstract_state(task, mesh)
    batch = jax.device_put(batch, meshes.batch_sharding(mesh))
    step = trainer.make_update(task, state)
    return step.lower(state, batch, jax.random.key(0)).compile().as_text()


@pytest.mark.long
@pytest.mark.parametrize("loop", ["map", "vmap"])
def test_nothing_but_metrics_moves_between_experts(make, batch, moved, loop):
  """On a mesh of experts alone, all that moves is from expert to expert."""
  task, *_ = make(
    {}, dropout=0.1, scan_layers=True, remat=True, expert_loop=loop
  )
  sizes = moved(_program(task, batch, expert=2))
  assert sizes and max(sizes) <= task.config.num_codebooks


@pytest.mark.long
@pytest.mark.parametrize("sizes", [dict(fsdp=4), dict(data=2, fsdp=4)])
def test_weights_come_to_the_batch(make, batch, moved, sizes):
  """No activation of the whole batch is gathered on a device."""
  task, state, _ = make({}, scan_layers=True, remat=True)
  longer = jax.tree.map(lambda x: jnp.concatenate([x] * 8), batch)
  cfg = task.config
  largest = max(x.size for x in jax.tree.leaves(state.params))
  tokens = len(longer["codes_BxNxT"]) * longer["codes_BxNxT"].shape[2]
  assert largest < cfg.num_experts * tokens * cfg.dim
  assert max(moved(_program(task, longer, **sizes))) <= largest


def test_only_matrices_decay(plain):
  task, state, *_ = plain
  zeros = jax.tree.map(jnp.zeros_like, state.params)
  updates, _ = jax.jit(jax.vmap(task.tx.update))(
    zeros, state.opt_state, state.params
  )
  for path, update in jax.tree_util.tree_leaves_with_path(updates):
    param = functools.reduce(lambda x, p: x[p.key], path, state.params)
    decays = not path[-1].key.endswith(("bias", "scale"))
    expected = -1e-2 * 0.5 * param if decays else 0 * param
    np.testing.assert_allclose(update, expected, atol=1e-7)
