"""Configs, and the first values and axis names of the stacked parameters."""

import dataclasses
import types

import flax.linen as nn
import jax
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.common import mesh as meshes
from siren_jax.common.errors import UserError
from siren_jax.experts.task import Stage1Task
from siren_jax.storage.checkpoint import Checkpoints
from siren_jax.training import OptimizerConfig, trainer

EXECUTION_FIELDS = dataclasses.fields(experts.Execution)


def test_parameters_start_random_biases_at_0_and_scales_at_1(
  tiny_config, tables
):
  init = jax.jit(experts.init, static_argnums=1)
  variables = nn.unbox(init(jax.random.key(0), tiny_config, tables))
  for path, x in jax.tree_util.tree_leaves_with_path(variables["params"]):
    name = path[-1].key
    if name == "scale":
      np.testing.assert_array_equal(x, 1)
    elif name.endswith("bias"):
      np.testing.assert_array_equal(x, 0)
    else:
      np.testing.assert_allclose(np.std(x), tiny_config.init_std, rtol=0.35)
      assert (x[0] != x[1]).any(), "experts must not start equal"
  frozen = variables["frozen"]["embedding"]
  for name, table in tables.items():
    for k in range(tiny_config.num_experts):
      np.testing.assert_array_equal(frozen[name][k], table)


@pytest.fixture(scope="module")
def task(tiny_config):
  """Deep enough for its layers to be most of it."""
  config = dataclasses.replace(
    tiny_config, dim=64, temporal_layers=8, heads=4, kv_heads=4
  )
  return Stage1Task(config, OptimizerConfig(), None)


@pytest.fixture(scope="module")
def first_state(task):
  """Sizes of a mesh -> the compiled program, and what it gives."""

  def of(**sizes):
    count = int(np.prod([*sizes.values()]))
    config = meshes.MeshConfig(**{"data": 1, **sizes})
    mesh = meshes.make_mesh(config, jax.devices()[:count])
    with jax.set_mesh(mesh):
      shardings = jax.tree.map(
        lambda x: x.sharding, trainer.abstract_state(task, mesh)
      )
      init = jax.jit(
        lambda key: nn.unbox(task.init(key)), out_shardings=shardings
      )
      program = init.lower(jax.random.key(0)).compile()
      return program, program(jax.random.key(0))

  return of


def test_every_device_draws_its_own_part_of_a_first_state(first_state):
  """The same values as alone, and no more than half as much beside them."""
  programs, states = zip(
    first_state(), first_state(expert=2, fsdp=2, model=2), strict=True
  )
  jax.tree.map(np.testing.assert_array_equal, *jax.device_get(states))
  for program in programs:
    memory = program.memory_analysis()
    assert memory.temp_size_in_bytes < 0.5 * memory.output_size_in_bytes
  assert "all-" not in programs[1].as_text()  # Nothing travels.


def test_a_restored_state_needs_no_other_program(task, tmp_path):
  """Shapes, types and shardings are those of a fresh one."""
  mesh = meshes.make_mesh(meshes.MeshConfig(), jax.devices()[:1])
  data = types.SimpleNamespace(set_state=lambda _: None)
  with jax.set_mesh(mesh), Checkpoints(tmp_path) as checkpoints:
    args = task, trainer._root_key(0, mesh), mesh, checkpoints, data
    fresh = trainer._restore_or_init(*args)
    checkpoints.save(1, fresh, {}, {})
    checkpoints.wait()
    restored = trainer._restore_or_init(*args)
  for (path, one), other in zip(
    jax.tree_util.tree_leaves_with_path(fresh),
    jax.tree.leaves(restored),
    strict=True,
  ):
    # With a weak type or without, avals are equal: their names are not.
    assert repr(one.aval) == repr(other.aval), path
    assert one.aval.weak_type == other.aval.weak_type, path
    assert one.sharding == other.sharding, path


def test_every_parameter_names_the_axes_it_has(tiny_config):
  boxed = jax.eval_shape(
    lambda key: experts.init(key, tiny_config), jax.random.key(0)
  )
  for leaf in jax.tree.leaves(
    boxed, is_leaf=lambda x: isinstance(x, nn.LogicallyPartitioned)
  ):
    assert len(leaf.names) == leaf.value.ndim
    assert leaf.names[0] == "expert"


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("heads", 3),
    ("kv_heads", 3),
    ("num_experts", 3),
    ("dropout", 1.0),
    ("depth_layers", 0),
  ],
)
def test_impossible_configs_are_errors(tiny_config, name, value):
  values = {**vars(tiny_config), name: value}
  with pytest.raises(UserError, match=name):
    experts.ExpertConfig(**values)


@pytest.mark.parametrize(
  ("name", "value"), [("dtype", "float16"), ("expert_loop", "both")]
)
def test_impossible_executions_are_errors(name, value):
  with pytest.raises(UserError, match=f"{name}='{value}'"):
    experts.Execution(**{name: value})


@pytest.mark.parametrize("name", [f.name for f in EXECUTION_FIELDS])
def test_a_config_refuses_settings_of_execution(tiny_config, name):
  """They were its fields once: the error says where they are now."""
  with pytest.raises(UserError, match=rf"Execution\({name}="):
    dataclasses.replace(tiny_config, **{name: "auto"})
