"""A CLAP small enough to try in milliseconds."""

import flax.linen as nn
import jax
import pytest

from siren_jax import clap


@pytest.fixture(scope="session")
def config():
  return clap.ClapConfig(
    text=clap.TextConfig(
      vocab_size=120,
      word_width=6,
      width=16,
      layers=2,
      heads=2,
      mlp_width=24,
      max_tokens=12,
    ),
    audio=clap.AudioConfig(
      window=128,
      hop=64,
      num_mels=16,
      patch=2,
      widths=(8, 12),
      blocks=(1, 1),
      heads=2,
    ),
    embed_dim=10,
  )


@pytest.fixture(scope="session")
def params(config):
  init = jax.jit(lambda key: nn.unbox(clap.init(key, config)))
  params = init(jax.random.key(0))
  # Larger than at the start of training, so that every part is felt.
  return jax.tree.map(lambda p: p * 4 if p.ndim > 1 else p, params)
