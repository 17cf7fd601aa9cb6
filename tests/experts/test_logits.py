"""The teacher-forced model: parity, and what each logit may depend on."""

import functools
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.weights import siren_stage1

TESTS = Path(__file__).parents[1]
OWN = TESTS / "fixtures" / "siren_stage1"
AUTHORS = TESTS.parents[1] / "shared" / "fixtures" / "siren_stage1"
FRAMES = 6


@pytest.mark.parametrize("folder", [OWN, AUTHORS], ids=["own", "authors"])
def test_published_logits_and_losses_come_out(folder):
  if not folder.exists():
    pytest.skip("only beside the project's own checkout")
  config, params = siren_stage1.load(folder)
  expected = np.load(folder / "expected.npz")
  batch = [
    expected[name]
    for name in ("codes", "prompt", "sequence_mask", "prompt_mask")
  ]
  logits, (total, metrics) = jax.jit(
    lambda params, *batch: (
      experts.logits(params, config, *batch),
      experts.loss(params, config, *batch),
    )
  )(params, *batch)
  step = config.codebook_size // expected["logits_0"].shape[-1]
  for n in range(config.num_codebooks):
    np.testing.assert_allclose(
      logits[:, n, :, ::step], expected[f"logits_{n}"], atol=1e-5
    )
    k = n // config.codebooks_per_expert
    np.testing.assert_allclose(
      metrics[f"ce_codebook_{n}"],
      expected[f"expert{k}_ce_codebook_{n}"],
      atol=1e-5,
    )
  losses = [expected[f"expert{k}_loss"] for k in range(config.num_experts)]
  np.testing.assert_allclose(total, np.mean(losses), atol=1e-5)


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


@pytest.mark.parametrize("n", range(4))
def test_a_code_is_heard_by_what_comes_after_it_alone(model, inputs, n):
  codes, *rest = inputs
  t = 2
  other = codes.at[0, n, t].add(5) % 16
  expected = np.zeros((4, FRAMES), bool)
  expected[n + 1 :, t] = True  # the codebooks above, in the same frame
  expected[:, t + 1 :] = True  # everything later
  np.testing.assert_array_equal(
    _changed(model(codes, *rest), model(other, *rest)), expected
  )


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
