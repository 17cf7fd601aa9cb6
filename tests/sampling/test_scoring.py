"""Given codes have the log-probs that the sampler reported for them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts, sampling


@pytest.fixture(scope="module")
def model():
  config = experts.ExpertConfig(
    dim=16, heads=4, kv_heads=2, temporal_layers=2, depth_layers=2,
    prompt_dim=8, feature_dim=8, codebook_size=16, num_codebooks=6,
    num_experts=3, init_std=0.3,
  )  # fmt: skip
  tables = {
    "codebook_NxVx8": jax.random.normal(jax.random.key(0), (6, 16, 8)),
    "weight_NxFx8": jax.random.normal(jax.random.key(1), (6, 8, 8)),
    "bias_NxF": jax.random.normal(jax.random.key(2), (6, 8)),
  }
  init = jax.jit(experts.init, static_argnums=1)
  return config, nn.unbox(init(jax.random.key(3), config, tables))


@pytest.fixture(scope="module")
def prompt():
  tokens = jax.random.normal(jax.random.key(4), (3, 5, 8))
  return tokens, jnp.arange(5) < jnp.array([[5], [2], [3]])


@pytest.mark.parametrize(
  "method",
  [
    sampling.SamplingConfig(temperature=0.7),
    sampling.SamplingConfig(guidance=3.0, temperature=1.2),
    pytest.param(
      sampling.SamplingConfig(top_k=5, guidance=2.0),
      marks=pytest.mark.optimized,
    ),
  ],
)
@pytest.mark.parametrize(
  ("numbers", "dtype"),
  [
    (None, "float32"),
    pytest.param(None, "bfloat16", marks=pytest.mark.long),
    pytest.param((1,), "float32", marks=pytest.mark.long),
    pytest.param((0, 2), "float32", marks=pytest.mark.long),
  ],
)
def test_scores_are_what_the_sampler_reported(
  model, prompt, method, numbers, dtype
):
  """In bfloat16, a code that just came in under top-k may be out of it."""
  config, params = model
  execution = experts.Execution(dtype=dtype)
  keys = jax.random.split(jax.random.key(5), 3)
  drawn = sampling.sample(
    params, config, method, *prompt, keys, 6, execution=execution
  )
  chosen = np.array(numbers or (0, 1, 2))
  chosen_params = jax.tree.map(lambda x: x[chosen], params)
  scores = sampling.score(
    chosen_params, config, method, drawn.codes_BxNxT, *prompt, numbers,
    execution=execution,
  )  # fmt: skip
  books = np.concatenate([[2 * k, 2 * k + 1] for k in chosen])
  error = np.abs(scores.log_probs_BxNxT - drawn.log_probs_BxNxT[:, books])
  if dtype == "float32":
    assert error.max() < 1e-3
  else:
    inside = np.isfinite(error)
    assert inside.mean() > 0.97
    assert error[inside].max() < 0.5 and error[inside].mean() < 0.05
  assert np.isfinite(scores.entropy_BxNxT).all()


def test_bfloat16_logits_keep_top_k_codes(model, prompt):
  """Rounded to bfloat16, many would tie with the last one let in."""
  config, params = model
  codes = jnp.zeros((3, 6, 40), jnp.int32)
  execution = experts.Execution(dtype="bfloat16")
  logits = experts.logits(
    params, config, codes, prompt[0], jnp.ones((3, 40), bool), prompt[1],
    execution=execution,
  )  # fmt: skip
  method = sampling.SamplingConfig(top_k=7)
  kept = jnp.sum(jnp.isfinite(sampling.methods.log_probs(logits, method)), -1)
  np.testing.assert_array_equal(kept, 7)


def test_entropy_is_log_of_the_codes_left_and_0_of_a_sure_draw(model, prompt):
  """Of a heated distribution log V; of one code, none."""
  config, params = model
  codes = jnp.zeros((3, 6, 4), jnp.int32)
  for method, entropy in (
    (sampling.SamplingConfig(temperature=1e6), np.log(16)),
    (sampling.SamplingConfig(temperature=1e-6), 0),
    (sampling.SamplingConfig(temperature=1e6, top_k=4), np.log(4)),
  ):
    scores = sampling.score(params, config, method, codes, *prompt)
    np.testing.assert_allclose(scores.entropy_BxNxT, entropy, atol=1e-3)
