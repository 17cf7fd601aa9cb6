"""Eight devices train as one does, over every mesh axis and over several."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.common import mesh as meshes
from siren_jax.experts.task import BATCH, Stage1Task, variables
from siren_jax.training import OptimizerConfig

# Every axis can be cut in eight.
CONFIG = experts.ExpertConfig(
  dim=16,
  heads=8,
  kv_heads=8,
  temporal_layers=1,
  depth_layers=1,
  prompt_dim=8,
  feature_dim=12,
  num_codebooks=8,
  num_experts=8,
  codebook_size=16,
  init_std=0.3,
  dropout=0.1,
)

OPTIMIZER = OptimizerConfig(warmup_steps=0)  # at the rate of real runs


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(5)
  lengths = np.array([[6], [5], [6], [2], [1], [6], [3], [4]])
  return {
    "codes_BxNxT": rng.integers(16, size=(8, 8, 6), dtype=np.int32),
    "prompt_BxPxC": rng.normal(size=(8, 3, 8)).astype(np.float32),
    "frame_mask_BxT": np.arange(6) < lengths,
    "prompt_mask_BxP": np.arange(3) < lengths,
  }


@pytest.fixture(scope="module")
def task():
  rng = np.random.default_rng(7)
  tables = {
    "codebook_NxVx8": rng.normal(size=(8, 16, 8)),
    "weight_NxFx8": rng.normal(size=(8, 12, 8)),
    "bias_NxF": rng.normal(size=(8, 12)),
  }
  return Stage1Task(CONFIG, OPTIMIZER, tables)


@pytest.fixture(scope="module")
def plain(task, batch):
  """First state, state and metrics after an update by one device."""
  state = nn.unbox(jax.jit(task.init)(jax.random.key(0)))
  step = jax.jit(task.step)
  return jax.device_get((state, *step(state, batch, jax.random.key(1))))


def _placed(task, state, mesh):
  """The state over a mesh, and how it is cut."""
  boxed = jax.eval_shape(task.init, jax.random.key(0))
  shardings = meshes.state_shardings(boxed, mesh)
  return jax.device_put(state, shardings), shardings


def test_a_sharded_update_is_that_of_one_device(task, batch, plain, mesh):
  assert_same_update(task, batch, plain, mesh)


@pytest.mark.long
def test_experts_of_a_device_run_sequentially(task, batch, plain):
  sequential = Stage1Task(
    CONFIG,
    OPTIMIZER,
    task.tables,
    execution=experts.Execution(expert_loop="map"),
  )
  mesh = meshes.make_mesh(
    meshes.MeshConfig(expert=2, fsdp=2, model=2), jax.devices()[:8]
  )
  assert_same_update(sequential, batch, plain, mesh)


def assert_same_update(task, batch, plain, mesh):
  state, expected, metrics = plain
  with jax.set_mesh(mesh):
    state, shardings = _placed(task, state, mesh)
    step = jax.jit(task.step, out_shardings=(shardings, None))
    rows = jax.device_put(batch, meshes.batch_sharding(mesh))
    after, after_metrics = jax.device_get(step(state, rows, jax.random.key(1)))
  close = functools.partial(np.testing.assert_allclose, atol=1e-5)
  jax.tree.map(close, after_metrics, metrics)
  # The first moments are the gradients, a tenth of them.
  moments, reference = after.opt_state[1][0].mu, expected.opt_state[1][0].mu
  top = max(np.abs(x).max() for x in jax.tree.leaves(reference))
  jax.tree.map(lambda a, b: close(a / top, b / top), moments, reference)
  # A gradient that is nought in theory, as of biases of keys, is rounding:
  # Adam makes a whole step of it, in any direction.
  clear = jax.tree.map(lambda x: np.abs(x) > 1e-6 * top, reference)
  share = jax.tree.map(np.mean, clear)
  assert share["temporal"]["cross_attention"].pop("key_bias") == 0
  assert min(jax.tree.leaves(share)) > 0.95
  jax.tree.map(
    lambda a, b, where: close(np.where(where, a, b), b),
    after.params, expected.params, clear,
  )  # fmt: skip


def test_no_device_has_it_all(task, batch, plain):
  """Parameters, moments and logits are cut along all axes that they have."""
  mesh = meshes.make_mesh(
    meshes.MeshConfig(expert=2, fsdp=2, model=2), jax.devices()[:8]
  )
  with jax.set_mesh(mesh):
    state, _ = _placed(task, plain[0], mesh)
    adam = state.opt_state[1][0]
    for tree in (state.params, adam.mu, adam.nu):
      gate = tree["temporal"]["ffn"]["gate"]
      assert tuple(gate.sharding.spec) == ("expert", None, "fsdp", "model")
      assert gate.addressable_shards[0].data.size == gate.size // 8
    logits_BxNxTxV = jax.jit(experts.logits, static_argnums=1)(
      variables(state),
      CONFIG,
      *jax.device_put(
        [batch[name] for name in BATCH], meshes.batch_sharding(mesh)
      ),
    )
  spec = logits_BxNxTxV.sharding.spec
  assert tuple(spec) == ("fsdp", "expert", None, "model")
