"""A CLAP small enough to try in milliseconds."""

import flax.linen as nn
import jax
import pytest

from siren_jax import clap


@pytest.fixture(scope="session")
def config(clap_config):
  return clap_config


@pytest.fixture(scope="session")
def params(config):
  return initial(config)


def initial(config):
  """Random parameters."""
  init = jax.jit(lambda key: nn.unbox(clap.init(key, config)))
  params = init(jax.random.key(0))
  # Larger than at the start of training, so that every part is felt.
  return jax.tree.map(lambda p: p * 4 if p.ndim > 1 else p, params)
