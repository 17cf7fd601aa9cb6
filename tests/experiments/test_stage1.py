"""What is heard of experts while they train."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.experiments import stage1
from siren_jax.sampling import GenerateConfig, SamplingConfig
from siren_jax.training import TrainState


@pytest.fixture(scope="module")
def batch(tiny_model):
  """Five rows, as of a code set."""
  rng = np.random.default_rng(0)
  config = tiny_model.config
  return {
    "codes_BxNxT": rng.integers(
      0, config.codebook_size, (5, config.num_codebooks, 6), np.int32
    ),
    "prompt_BxPxC": rng.normal(size=(5, 4, config.prompt_dim)).astype("f4"),
    "prompt_mask_BxP": np.ones((5, 4), bool),
    "frame_mask_BxT": np.ones((5, 6), bool),
  }


def test_the_same_prompts_are_drawn_beside_their_recordings(tiny_model, batch):
  experiment = stage1.Stage1Experiment(
    experts=tiny_model.config, generate=GenerateConfig(SamplingConfig(top_k=9))
  )
  codec = tiny_model.codec
  sounds = stage1.sounds_of(experiment, codec.config, codec.params)
  make = jax.jit(sounds.make, static_argnums=2)
  params = dict(tiny_model.params)
  state = TrainState(
    jnp.int32(0), params.pop("params"), opt_state=None, extra=params
  )
  drawn = make(state, batch, 2, *sounds.args)
  decoded = codec.decode(batch["codes_BxNxT"][:2])
  np.testing.assert_allclose(drawn["recording"], decoded, atol=1e-4)
  assert drawn["generated"].shape == decoded.shape
  assert sounds.sample_rate == codec.config.sample_rate
  again = make(
    dataclasses.replace(state, step=jnp.int32(9)), batch, 2, *sounds.args
  )
  np.testing.assert_array_equal(again["generated"], drawn["generated"])
  other = batch | {"prompt_BxPxC": 9 * batch["prompt_BxPxC"][::-1]}
  assert (
    make(state, other, 2, *sounds.args)["generated"] != drawn["generated"]
  ).any()
