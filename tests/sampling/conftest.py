"""A small model with large weights, and three prompts of unequal lengths."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from siren_jax import experts

BOOKS, CODES = 4, 16


@pytest.fixture(scope="session")
def make_model():
  """By its number of key-value heads."""

  def make(kv_heads):
    config = experts.ExpertConfig(
      dim=16,
      heads=4,
      kv_heads=kv_heads,
      temporal_layers=2,
      depth_layers=2,
      prompt_dim=8,
      feature_dim=8,
      codebook_size=CODES,
      num_codebooks=BOOKS,
      num_experts=2,
      init_std=0.3,
    )
    key = jax.random.key(0)
    tables = {
      "codebook_NxVx8": jax.random.normal(key, (BOOKS, CODES, 8)),
      "weight_NxFx8": jax.random.normal(key, (BOOKS, 8, 8)),
      "bias_NxF": jax.random.normal(key, (BOOKS, 8)),
    }
    init = jax.jit(experts.init, static_argnums=1)
    return config, nn.unbox(init(jax.random.key(1), config, tables))

  return make


@pytest.fixture(scope="session")
def model(make_model):
  return make_model(kv_heads=2)


@pytest.fixture(scope="session")
def prompt():
  prompt = jax.random.normal(jax.random.key(2), (3, 5, 8))
  mask = jnp.arange(5) < jnp.array([[5], [2], [3]])
  return prompt, mask


@pytest.fixture(scope="session")
def keys():
  return jax.random.split(jax.random.key(3), 3)
