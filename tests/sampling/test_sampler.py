"""The sampler says what the teacher-forced model says, row by row."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.sampling import SamplingConfig, loop, methods, sample, state

FRAMES = 7
BOOKS, CODES = 4, 16
MASK = jnp.ones((3, FRAMES), bool)


@pytest.fixture(scope="module")
def plain(model, prompt, keys):
  """Three clips drawn without any setting."""
  config, params = model
  return sample(params, config, SamplingConfig(), *prompt, keys, FRAMES)


@functools.partial(jax.jit, static_argnames=("config", "execution"))
def _forced(params, config, prompt, mask, codes_BxNxT, execution):
  """Log-probs [B, N, T] of given codes, from the cached path."""
  weights = state.prepare_weights(params, config, execution)
  prompted = state.prepare(weights, SamplingConfig(), prompt, mask)
  frames = codes_BxNxT.shape[2]
  keys = jax.random.split(jax.random.key(0), len(prompt))
  return loop.advance(
    prompted,
    state.start(prompted, frames),
    keys,
    loop.Kept(codes_BxNxT, BOOKS),
    num_frames=frames,
  )[1]


_logits = jax.jit(experts.logits, static_argnames=("config", "execution"))


@pytest.mark.parametrize(
  ("kv_heads", "dtype", "atol"),
  [
    (4, "float32", 1e-4),
    pytest.param(2, "float32", 1e-4, marks=pytest.mark.optimized),
    (2, "bfloat16", 0.15),
  ],
)
def test_cached_log_probs_are_the_teacher_forced_ones(
  make_model, prompt, kv_heads, dtype, atol
):
  config, params = make_model(kv_heads)
  execution = experts.Execution(dtype=dtype)
  codes = jax.random.randint(jax.random.key(4), (3, BOOKS, FRAMES), 0, CODES)
  cached = _forced(params, config, *prompt, codes, execution)
  whole = _logits(
    params, config, codes, prompt[0], MASK, prompt[1], execution=execution
  )
  whole = jax.nn.log_softmax(whole)
  whole = jnp.take_along_axis(whole, codes[..., None], -1)[..., 0]
  assert jnp.std(whole) > 0.5
  np.testing.assert_array_equal(cached.codes_BxNxT, codes)
  np.testing.assert_allclose(cached.log_probs_BxNxT, whole, atol=atol)
  assert cached.log_probs_BxNxT.dtype == whole.dtype == jnp.float32


def test_guided_draws_report_their_exact_log_probs(model, prompt, keys):
  config, params = model
  method = SamplingConfig(temperature=0.9, top_k=12, top_p=0.95, guidance=3.0)
  drawn = sample(params, config, method, *prompt, keys, FRAMES)
  codes = drawn.codes_BxNxT
  given, null = (
    _logits(params, config, codes, tokens, MASK, mask)
    for tokens, mask in (prompt, experts.null_prompt(*prompt))
  )
  expected = methods.log_probs(methods.guide(given, null, 3.0), method)
  expected = jnp.take_along_axis(expected, codes[..., None], -1)[..., 0]
  np.testing.assert_allclose(drawn.log_probs_BxNxT, expected, atol=1e-3)


@pytest.mark.parametrize("row", [0, 1])
def test_a_row_of_a_batch_is_the_prompt_alone(model, prompt, keys, plain, row):
  config, params = model
  one = (x[row : row + 1] for x in (*prompt, keys))
  alone = sample(params, config, SamplingConfig(), *one, FRAMES)
  np.testing.assert_array_equal(alone.codes_BxNxT[0], plain.codes_BxNxT[row])


def test_padding_of_the_prompt_changes_nothing(model, prompt, keys, plain):
  config, params = model
  tokens, mask = prompt
  padded = jnp.pad(tokens, ((0, 0), (0, 3), (0, 0)), constant_values=7.0)
  padded_mask = jnp.pad(mask, ((0, 0), (0, 3)))
  method = SamplingConfig()
  other = sample(params, config, method, padded, padded_mask, keys, FRAMES)
  np.testing.assert_array_equal(plain.codes_BxNxT, other.codes_BxNxT)


def test_a_longer_clip_begins_as_a_shorter_one(model, prompt, keys, plain):
  config, params = model
  short = sample(params, config, SamplingConfig(), *prompt, keys, 4)
  np.testing.assert_array_equal(short.codes_BxNxT, plain.codes_BxNxT[..., :4])


def test_same_key_same_codes_other_key_other_codes(model, prompt, keys, plain):
  config, params = model
  same, other = (
    sample(params, config, SamplingConfig(), *prompt, k, FRAMES).codes_BxNxT
    for k in (keys, jax.random.split(jax.random.key(9), 3))
  )
  np.testing.assert_array_equal(plain.codes_BxNxT, same)
  assert (same != other).any()


def test_guidance_of_one_is_no_guidance(model, prompt, keys, plain):
  config, params = model
  method = SamplingConfig(guidance=1.0)
  guided = sample(params, config, method, *prompt, keys, FRAMES)
  np.testing.assert_array_equal(plain.codes_BxNxT, guided.codes_BxNxT)


def test_greedy_takes_the_teacher_forced_maximum(model, prompt, keys):
  config, params = model
  method = SamplingConfig(greedy=True)
  drawn = sample(params, config, method, *prompt, keys, FRAMES)
  codes = drawn.codes_BxNxT
  whole = _logits(params, config, codes, prompt[0], MASK, prompt[1])
  np.testing.assert_array_equal(codes, jnp.argmax(whole, -1))
  np.testing.assert_array_equal(drawn.log_probs_BxNxT, 0)
