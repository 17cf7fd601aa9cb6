"""Configs, and the first values and axis names of the stacked parameters."""

import dataclasses

import flax.linen as nn
import jax
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.common.errors import UserError

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
