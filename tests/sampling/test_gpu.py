"""Frames made of the kernels for a GPU, interpreted, are those of XLA."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.common import tuning
from siren_jax.sampling import (
  Kept,
  SamplingConfig,
  advance,
  prefill,
  prepare,
  prepare_weights,
  start,
)
from siren_jax.sampling.gpu import packing

FRAMES = 3
AS_ON_GPU = dataclasses.replace(
  tuning.CPU, fused_rows=8, cache_blocks=1, single_row_axis=True
)


@pytest.fixture(scope="module")
def model():
  config = experts.ExpertConfig(
    dim=64, heads=4, kv_heads=2, temporal_layers=2, depth_layers=2,
    prompt_dim=8, feature_dim=8, codebook_size=16, num_codebooks=6,
    num_experts=2, init_std=0.1,
  )  # fmt: skip
  key = jax.random.key(0)
  tables = {
    "codebook_NxVx8": jax.random.normal(key, (6, 16, 8)),
    "weight_NxFx8": jax.random.normal(key, (6, 8, 8)),
    "bias_NxF": jax.random.normal(key, (6, 8)),
  }
  init = jax.jit(experts.init, static_argnums=1)
  params = nn.unbox(init(jax.random.key(1), config, tables))
  moved = jax.tree.map(  # Biases and norms, too, must matter.
    lambda x: x + 0.1 * jax.random.normal(key, x.shape), params["params"]
  )
  return config, params | {"params": moved}


@pytest.fixture(scope="module")
def prompt():
  tokens = jax.random.normal(jax.random.key(2), (3, 70, 8))
  return tokens, jnp.arange(70) < jnp.array([[70], [2], [65]])


def _log_probs(model, prompt, method, dtype, given):
  """Of given codes, after a prefill; and what is drawn after them."""
  config, params = model
  rows = len(given)
  weights = prepare_weights(params, config, experts.Execution(dtype=dtype))
  prompted = prepare(weights, method, *(x[:rows] for x in prompt))
  keys = jax.random.split(jax.random.key(3), rows)
  before, codes = given[..., :-FRAMES], given[..., -FRAMES:]
  state = prefill(prompted, start(prompted, given.shape[2] + FRAMES), before)
  kept = Kept(codes, np.int32(codes.shape[1]))
  state, forced = advance(prompted, state, keys, kept, num_frames=FRAMES)
  _, drawn = advance(prompted, state, keys, num_frames=FRAMES)
  return weights, forced.log_probs_BxNxT, drawn.codes_BxNxT


@pytest.mark.parametrize(
  ("rows", "guidance", "dtype", "atol"),
  [
    (1, None, "float32", 1e-4),
    pytest.param(3, 2.0, "bfloat16", 0.2, marks=pytest.mark.long),
    pytest.param(3, 2.0, "int8", 0.2, marks=pytest.mark.long),
    pytest.param(3, 2.0, "float32", 1e-4, marks=pytest.mark.long),
  ],
)
def test_they_are_those_of_xla(
  monkeypatch, model, prompt, rows, guidance, dtype, atol
):
  method = SamplingConfig(guidance=guidance)
  given = jax.random.randint(jax.random.key(4), (rows, 6, 70), 0, 16)
  inputs = model, prompt, method, dtype, given
  weights, expected, codes = _log_probs(*inputs)
  assert weights.packed == (dtype == "int8")
  jax.clear_caches()
  monkeypatch.setattr(tuning, "current", lambda: AS_ON_GPU)
  weights, log_probs, drawn = _log_probs(*inputs)
  jax.clear_caches()
  assert weights.packed
  assert jnp.std(expected) > 0.3
  np.testing.assert_allclose(log_probs, expected, atol=atol)
  if dtype == "float32":
    np.testing.assert_array_equal(drawn, codes)


def test_packed_weights_can_be_unpacked(model):
  config, params = model
  weights = prepare_weights(params, config)
  for layer in (weights.temporal[1], weights.depth[1][0]):
    again = packing.unpacked(packing.packed(layer, False), config, "float32")
    jax.tree.map(np.testing.assert_array_equal, again, layer)
    rounded = packing.unpacked(packing.packed(layer, True), config, "float32")
    jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, atol=np.ptp(y) / 254),
      rounded,
      layer,
    )


def test_odd_widths_are_left_to_xla(monkeypatch, model):
  monkeypatch.setattr(tuning, "current", lambda: AS_ON_GPU)
  config, _ = model
  assert packing.uses_kernels(config)
  for change in ({"heads": 8, "kv_heads": 8}, {"codebook_size": 24}):
    assert not packing.uses_kernels(dataclasses.replace(config, **change))
