"""What the logits of a frame may not depend on: masked frames, padding."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts

FRAMES = 6


@pytest.fixture(scope="module")
def model(tiny_config, tables):
  params = experts.init(jax.random.key(0), tiny_config, tables)
  logits = jax.jit(functools.partial(experts.logits, config=tiny_config))

  def run(codes, prompt, mask, prompt_mask):
    return logits(
      nn.unbox(params),
      codes_BxNxT=codes,
      prompt_BxPxC=prompt,
      frame_mask_BxT=mask,
      prompt_mask_BxP=prompt_mask,
    )[0]

  return run


@pytest.fixture
def inputs(tiny_config):
  codes = jnp.arange(4 * FRAMES).reshape(1, 4, FRAMES) % 16
  prompt = jax.random.normal(jax.random.key(1), (1, 5, tiny_config.prompt_dim))
  return codes, prompt, jnp.ones((1, FRAMES), bool), jnp.ones((1, 5), bool)


def _changed(one, other) -> np.ndarray:
  """[N, T]: where logits differ; where they must not they are identical."""
  return np.asarray((one != other).any(-1))


def test_a_masked_frame_is_never_attended_to(model, inputs):
  codes, prompt, mask, prompt_mask = inputs
  mask = mask.at[0, 3].set(False)
  other = codes.at[0, :, 2].add(5) % 16  # frame 3's temporal input
  changed = _changed(
    model(codes, prompt, mask, prompt_mask),
    model(other, prompt, mask, prompt_mask),
  )
  expected = np.zeros((4, FRAMES), bool)
  expected[1:, 2] = True
  expected[:, 3] = True
  np.testing.assert_array_equal(changed, expected)


def test_the_prompt_matters_and_its_padding_does_not(model, inputs):
  codes, prompt, mask, prompt_mask = inputs
  prompt_mask = prompt_mask.at[0, 3:].set(False)
  whole = model(codes, prompt, mask, prompt_mask)
  padded = model(codes, prompt.at[0, 4].set(9.0), mask, prompt_mask)
  np.testing.assert_array_equal(whole, padded)
  other = model(codes, prompt.at[0, 2].set(9.0), mask, prompt_mask)
  assert _changed(whole, other).all()
