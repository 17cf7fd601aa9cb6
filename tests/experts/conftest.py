"""Two experts that compile in seconds, and tables for them."""

import jax
import pytest

from siren_jax import experts


@pytest.fixture(scope="session")
def tiny_config():
  return experts.ExpertConfig(
    dim=16,
    heads=4,
    kv_heads=2,
    temporal_layers=2,
    depth_layers=2,
    prompt_dim=8,
    feature_dim=12,
    num_codebooks=4,
    num_experts=2,
    codebook_size=16,
    init_std=0.3,
  )


@pytest.fixture(scope="session")
def tables():
  keys = jax.random.split(jax.random.key(7), 3)
  return {
    "codebook_NxVx8": jax.random.normal(keys[0], (4, 16, 8)),
    "weight_NxFx8": jax.random.normal(keys[1], (4, 12, 8)),
    "bias_NxF": jax.random.normal(keys[2], (4, 12)),
  }
