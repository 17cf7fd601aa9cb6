"""The sampler says what the teacher-forced model says, row by row."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.sampling import SamplingConfig, sample, sampler

FRAMES = 9


@pytest.fixture(scope="module", params=[1, 2], ids=["mha", "gqa"])
def model(request):
  config = experts.ExpertConfig(
    dim=32,
    heads=4,
    kv_heads=4 // request.param,
    temporal_layers=2,
    depth_layers=2,
    prompt_dim=16,
    feature_dim=16,
    codebook_size=32,
    num_codebooks=6,
    num_experts=3,
    init_std=0.2,
  )
  key = jax.random.key(0)
  tables = {
    "codebook_NxVx8": jax.random.normal(key, (6, 32, 8)),
    "weight_NxFx8": jax.random.normal(key, (6, 16, 8)),
    "bias_NxF": jax.random.normal(key, (6, 16)),
  }
  return config, nn.unbox(experts.init(jax.random.key(1), config, tables))


@pytest.fixture(scope="module")
def prompt():
  prompt = jax.random.normal(jax.random.key(2), (3, 5, 16))
  mask = jnp.arange(5) < jnp.array([[5], [2], [3]])
  return prompt, mask


@pytest.fixture(scope="module")
def keys():
  return jax.random.split(jax.random.key(3), 3)


def _forced(model, prompt, codes_BxNxT):
  """Logits [B, N, T, V] of the cached path, fed with given codes."""
  config, params = model
  parts = sampler.prepare(params, config, *prompt)
  state = sampler.start(parts, config, codes_BxNxT.shape[2])
  frames = []
  for t in range(codes_BxNxT.shape[2]):
    seen = []

    def choose(n, logits, t=t, seen=seen):
      seen.append(logits)
      return codes_BxNxT[:, n, t]

    state = sampler.step(parts, config, state, choose)
    frames.append(jnp.stack(seen, 1))
  return jnp.stack(frames, 2)


def test_cached_logits_are_the_teacher_forced_ones(model, prompt):
  config, params = model
  codes = jax.random.randint(jax.random.key(4), (3, 6, FRAMES), 0, 32)
  cached = _forced(model, prompt, codes)
  whole = experts.logits(
    params, config, codes, prompt[0], jnp.ones((3, FRAMES), bool), prompt[1]
  )
  assert jnp.std(whole) > 0.1
  np.testing.assert_allclose(cached, whole, atol=1e-4)


@pytest.mark.parametrize("guidance", [None, 3.0])
def test_log_probs_are_those_of_the_teacher_forced_model(
  model, prompt, keys, guidance
):
  config, params = model
  method = SamplingConfig(temperature=0.9, top_k=12, guidance=guidance)
  drawn = sample(params, config, method, *prompt, keys, FRAMES)
  mask = jnp.ones((3, FRAMES), bool)
  codes = drawn.codes_BxNxT

  def logits(prompt, prompt_mask):
    return experts.logits(params, config, codes, prompt, mask, prompt_mask)

  expected = logits(*prompt)
  if guidance:
    null = logits(*experts.null_prompt(*prompt))
    expected = null + guidance * (expected - null)
  expected = sampler.methods.log_probs(expected, method)
  expected = jnp.take_along_axis(expected, codes[..., None], -1)[..., 0]
  np.testing.assert_allclose(drawn.log_probs_BxNxT, expected, atol=1e-3)


@pytest.mark.parametrize("guidance", [None, 2.0])
def test_a_row_of_a_batch_is_the_prompt_alone(model, prompt, keys, guidance):
  config, params = model
  method = SamplingConfig(guidance=guidance)
  batch = sample(params, config, method, *prompt, keys, FRAMES)
  for row in range(3):
    one = (x[row : row + 1] for x in (*prompt, keys))
    alone = sample(params, config, method, *one, FRAMES)
    np.testing.assert_array_equal(alone.codes_BxNxT[0], batch.codes_BxNxT[row])


def test_padding_of_the_prompt_changes_nothing(model, prompt, keys):
  config, params = model
  tokens, mask = prompt
  padded = jnp.pad(tokens, ((0, 0), (0, 3), (0, 0)), constant_values=7.0)
  padded_mask = jnp.pad(mask, ((0, 0), (0, 3)))
  method = SamplingConfig()
  one = sample(params, config, method, tokens, mask, keys, FRAMES)
  other = sample(params, config, method, padded, padded_mask, keys, FRAMES)
  np.testing.assert_array_equal(one.codes_BxNxT, other.codes_BxNxT)


def test_a_longer_clip_begins_as_a_shorter_one(model, prompt, keys):
  config, params = model
  method = SamplingConfig(top_p=0.9)
  short = sample(params, config, method, *prompt, keys, 5)
  long = sample(params, config, method, *prompt, keys, FRAMES)
  np.testing.assert_array_equal(short.codes_BxNxT, long.codes_BxNxT[..., :5])


def test_same_key_same_codes_other_key_other_codes(model, prompt, keys):
  config, params = model
  runs = [
    sample(params, config, SamplingConfig(), *prompt, k, FRAMES).codes_BxNxT
    for k in (keys, keys, jax.random.split(jax.random.key(9), 3))
  ]
  np.testing.assert_array_equal(runs[0], runs[1])
  assert (runs[0] != runs[2]).any()


def test_guidance_of_one_is_no_guidance(model, prompt, keys):
  config, params = model
  plain = sample(params, config, SamplingConfig(), *prompt, keys, FRAMES)
  one = SamplingConfig(guidance=1.0)
  guided = sample(params, config, one, *prompt, keys, FRAMES)
  np.testing.assert_array_equal(plain.codes_BxNxT, guided.codes_BxNxT)


def test_greedy_takes_the_teacher_forced_maximum(model, prompt, keys):
  config, params = model
  method = SamplingConfig(greedy=True)
  drawn = sample(params, config, method, *prompt, keys, FRAMES)
  whole = experts.logits(
    params, config, drawn.codes_BxNxT, prompt[0],
    jnp.ones((3, FRAMES), bool), prompt[1],
  )  # fmt: skip
  np.testing.assert_array_equal(drawn.codes_BxNxT, jnp.argmax(whole, -1))
  np.testing.assert_array_equal(drawn.log_probs_BxNxT, 0)
