"""Over a mesh the same codes are drawn, and hardly anything moves."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.common import mesh as meshes
from siren_jax.sampling import SamplingConfig, sample

FRAMES, ROWS = 3, 8
METHOD = SamplingConfig(guidance=2.0)


@functools.cache
def _model(count):
  """Config and boxed variables of so many experts, a codebook for each."""
  config = experts.ExpertConfig(
    dim=64,
    heads=8,
    kv_heads=8,
    temporal_layers=1,
    depth_layers=1,
    prompt_dim=8,
    feature_dim=8,
    codebook_size=16,
    num_codebooks=count,
    num_experts=count,
    init_std=0.3,
  )
  rng = np.random.default_rng(0)
  tables = {
    "codebook_NxVx8": rng.normal(size=(count, 16, 8)),
    "weight_NxFx8": rng.normal(size=(count, 8, 8)),
    "bias_NxF": rng.normal(size=(count, 8)),
  }
  init = jax.jit(experts.init, static_argnums=1)
  return config, jax.device_get(init(jax.random.key(1), config, tables))


def _given(rows):
  """Prompts, their masks, and keys."""
  rng = np.random.default_rng(2)
  prompt_BxPxC = rng.normal(size=(rows, 5, 8)).astype(np.float32)
  mask_BxP = np.arange(5) < rng.integers(1, 6, size=(rows, 1))
  return prompt_BxPxC, mask_BxP, jax.random.split(jax.random.key(3), rows)


def _draw(config, *args):
  """Samples, and the program that drew them."""

  def run(params, *given):
    return sample(params, config, METHOD, *given, FRAMES)

  program = jax.jit(run).lower(*args).compile()
  return jax.device_get(program(*args)), program.as_text()


@pytest.fixture(scope="module")
def alone():
  """(number of experts, rows) -> what one device draws."""

  @functools.cache
  def alone(count, rows):
    config, boxed = _model(count)
    return _draw(config, nn.unbox(boxed), *_given(rows))[0]

  return alone


def _same(drawn, expected):
  np.testing.assert_array_equal(drawn.codes_BxNxT, expected.codes_BxNxT)
  np.testing.assert_allclose(
    drawn.log_probs_BxNxT, expected.log_probs_BxNxT, atol=1e-4
  )


def test_a_mesh_draws_what_one_device_draws(alone, mesh, moved):
  """From caches cut along every axis, and no weight or cache moves."""
  cut = mesh.shape
  config, boxed = _model(max(2, cut["expert"]))
  with jax.set_mesh(mesh):
    shardings = meshes.state_shardings(boxed, mesh)
    params = jax.device_put(nn.unbox(boxed), shardings)
    given = jax.device_put(_given(ROWS), meshes.batch_sharding(mesh))
    drawn, program = _draw(config, params, *given)
  _same(drawn, alone(config.num_experts, ROWS))
  held, heads = config.num_experts // cut["expert"], 8 // cut["model"]
  rows = 2 * ROWS // (cut["data"] * cut["fsdp"])  # Two for each: guidance.
  assert f"f32[{held},{rows},{heads},2,8]" in program  # Blocks of two frames.
  sizes = moved(program, at_least=FRAMES)  # Those of every frame.
  if cut["model"] > 1:
    assert 0 < max(sizes) <= held * rows * config.dim < config.dim**2
  elif cut["expert"] > 1:
    assert max(sizes) == rows // 2  # Codes.
  else:
    assert not sizes


def test_rows_that_do_not_divide_are_drawn_too(alone):
  sizes = meshes.MeshConfig(data=2, expert=2)
  mesh = meshes.make_mesh(sizes, jax.devices()[:4])
  config, boxed = _model(2)
  with jax.set_mesh(mesh):
    params = jax.device_put(
      nn.unbox(boxed), meshes.state_shardings(boxed, mesh)
    )
    drawn, _ = _draw(config, params, *_given(3))
  _same(drawn, alone(2, 3))
