"""A small policy to align, and rewards that can be counted."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.alignment import AlignConfig, AlignTask
from siren_jax.experts import Execution
from siren_jax.training import OptimizerConfig
from siren_jax.weights import bundle

OPTIMIZER = OptimizerConfig(
  learning_rate=1e-2, warmup_steps=0, final_fraction=1.0, weight_decay=0.0
)
CONFIG = AlignConfig(
  policy=(0,),
  rewards=("my_rewards:low",),
  group_size=4,
  minibatches=2,
  seconds=0.2,
  kl=0.0,
)
REWARDS = """
import jax.numpy as jnp
import numpy as np

from siren_jax.alignment.rewards import OnHost

def low(rollout):
  return (rollout.codes_BxNxT[:, 0] < 32).mean(-1)

@OnHost
def low_on_host(rollout):
  assert type(rollout.codes_BxNxT) is type(rollout.audio_BxS) is np.ndarray
  return (rollout.codes_BxNxT[:, 0] < 32).mean(-1)

def deep(rollout):
  return (rollout.codes_BxNxT[:, 2:] < 32).mean((1, 2))

def constant(rollout):
  return jnp.ones(len(rollout.codes_BxNxT))

def broken(rollout):
  return constant(rollout) * jnp.nan
"""


@pytest.fixture(scope="module")
def my_rewards(tmp_path_factory):
  folder = tmp_path_factory.mktemp("rewards")
  (folder / "my_rewards.py").write_text(REWARDS)
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(folder)
    yield


@pytest.fixture(scope="module")
def model(tiny_model):
  """A coarse expert that is unsure, and a deep one that listens to it."""
  config = dataclasses.replace(tiny_model.config, kv_heads=2)  # To be cut.
  shapes = jax.eval_shape(
    lambda key: bundle.init_experts(key, config), jax.random.key(0)
  )
  whole = jax.tree.map(
    lambda x, to: np.resize(x, to.shape), tiny_model.params, shapes
  )
  params = whole["params"]
  heads = params["heads"] * np.array([0.1, 1.0])[:, None, None, None]
  embedding = params["embedding"]
  changed = params | {
    "heads": heads.astype(np.float32),
    "embedding": embedding | {"kernel": 30 * embedding["kernel"]},
  }
  return dataclasses.replace(
    tiny_model, config=config, params=whole | {"params": changed}
  )


@pytest.fixture(scope="module")
def batch():
  ids = jax.random.randint(jax.random.key(1), (4, 6), 0, 50)
  mask = jnp.arange(6) < jnp.array([[6], [3], [5], [2]])
  return {
    "ids_BxP": ids,
    "mask_BxP": mask,
    "truth_B": jnp.full(4, -1),
    "place_B": jnp.arange(4),
  }


@pytest.fixture(scope="module")
def make(model, my_rewards):
  """(changes of the config) -> task, its first state, its step."""

  # Tests of one config share its programs.
  @functools.cache
  def make_of(config, optimizer, ema_decay, dtype):
    models = model.models._replace(execution=Execution(dtype=dtype))
    task = AlignTask(
      models, model.all_params, config, optimizer, ema_decay=ema_decay
    )
    state = nn.unbox(jax.jit(task.init)(jax.random.key(0), *task.init_args))
    return task, state, jax.jit(task.step)

  def make(optimizer=OPTIMIZER, ema_decay=0.0, dtype="float32", **changes):
    config = dataclasses.replace(CONFIG, **changes)
    return make_of(config, optimizer, ema_decay, dtype)

  return make
