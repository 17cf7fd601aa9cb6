"""The sampler says what the scorer says, in the arithmetic of a GPU.

float32 is exact where products are asked to be; by default a GPU rounds what
goes into them to TF32, 10 bits. bfloat16 has 7.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts, sampling
from siren_jax.sampling import SamplingConfig, methods

pytestmark = pytest.mark.gpu

ROWS, FRAMES, TOKENS = 32, 24, 5
TOP_K, TOP_P = 64, 0.9
CONFIG = experts.ExpertConfig(
  dim=64, heads=4, kv_heads=2, temporal_layers=2, depth_layers=1,
  prompt_dim=16, feature_dim=16, num_codebooks=4, num_experts=2,
  codebook_size=1024, init_std=0.15,
)  # fmt: skip
HIGHEST = ("float32", "highest")
TF32 = ("float32", "default")
BFLOAT16 = ("bfloat16", "default")
GUIDED = SamplingConfig(top_k=TOP_K, guidance=3.0)
EXCLUDED = pytest.mark.xfail(
  strict=True,
  reason="in bfloat16 the scorer has other codes among the best k",
)


@pytest.fixture(scope="module")
def params():
  keys = jax.random.split(jax.random.key(0), 4)
  books, codes = CONFIG.num_codebooks, CONFIG.codebook_size
  tables = {
    "codebook_NxVx8": jax.random.normal(keys[0], (books, codes, 8)),
    "weight_NxFx8": jax.random.normal(keys[1], (books, 16, 8)),
    "bias_NxF": jax.random.normal(keys[2], (books, 16)),
  }
  return nn.unbox(experts.init(keys[3], CONFIG, tables))


@pytest.fixture(scope="module")
def prompt():
  shape = (ROWS, TOKENS, CONFIG.prompt_dim)
  lengths = 1 + jnp.arange(ROWS) % TOKENS
  tokens = jax.random.normal(jax.random.key(1), shape)
  return tokens, jnp.arange(TOKENS) < lengths[:, None]


@pytest.fixture(scope="module")
def keys():
  return jax.random.split(jax.random.key(2), ROWS)


class Compared(NamedTuple):
  """Codes and their log-probs, from the sampler and from what reads them.

  Attributes:
    kept_BxNxT: how many codes might have been drawn.
  """

  codes_BxNxT: np.ndarray
  drawn_BxNxT: np.ndarray
  scored_BxNxT: np.ndarray
  forced_BxNxT: np.ndarray
  kept_BxNxT: np.ndarray


@pytest.fixture(scope="module")
def compare(params, prompt, keys):
  """(arithmetic, method) -> `Compared`."""

  @functools.partial(jax.jit, static_argnames="execution")
  def read(params, execution, method, codes):
    scores = sampling.score(
      params, CONFIG, method, codes, *prompt, execution=execution
    )
    whole = jnp.ones((ROWS, FRAMES), bool)
    logits, without = (
      experts.logits(
        params, CONFIG, codes, tokens, whole, mask, execution=execution
      )
      for tokens, mask in (prompt, experts.null_prompt(*prompt))
    )
    guided = methods.guide(logits, without, method.guidance)
    log_probs = methods.log_probs(guided, method)
    forced = jnp.take_along_axis(log_probs, codes[..., None], -1)[..., 0]
    kept = jnp.sum(jnp.isfinite(log_probs), -1)
    return scores.log_probs_BxNxT, forced, kept

  @functools.cache
  def compare(arithmetic, top_k, top_p, guidance):
    method = SamplingConfig(top_k=top_k, top_p=top_p, guidance=guidance)
    with computed_in(arithmetic) as execution:
      drawn = sampling.sample(
        params, CONFIG, method, *prompt, keys, FRAMES, execution=execution
      )
      scored, forced, kept = read(params, execution, method, drawn.codes_BxNxT)
    return Compared(*jax.device_get((*drawn, scored, forced, kept)))

  return compare


@contextlib.contextmanager
def computed_in(arithmetic) -> Iterator[experts.Execution]:
  dtype, precision = arithmetic
  with jax.default_matmul_precision(precision):
    yield experts.Execution(dtype=dtype)


guidances = pytest.mark.parametrize("guidance", [1.0, 3.0])


@guidances
@pytest.mark.parametrize(
  "arithmetic, mean, most, excluded",
  [
    pytest.param(HIGHEST, 5e-6, 5e-5, 0, id="float32"),
    pytest.param(TF32, 2e-3, 2e-2, 0.005, id="TF32"),
    pytest.param(BFLOAT16, 0.02, 0.2, 0.01, id="bfloat16"),
  ],
)
def test_top_k_log_probs_agree(
  compare, arithmetic, mean, most, excluded, guidance
):
  """To so many nats; guidance of 3 makes three times the difference."""
  result = compare(arithmetic, TOP_K, None, guidance)
  for read_BxNxT in (result.scored_BxNxT, result.forced_BxNxT):
    possible = np.isfinite(read_BxNxT)
    apart = np.abs(result.drawn_BxNxT - read_BxNxT)[possible]
    assert apart.mean() <= guidance * mean
    assert apart.max() <= guidance * most
    assert np.mean(~possible) <= guidance * excluded


@guidances
@pytest.mark.parametrize(
  "arithmetic",
  [
    pytest.param(HIGHEST, id="float32"),
    pytest.param(BFLOAT16, id="bfloat16", marks=EXCLUDED),
  ],
)
def test_every_drawn_code_can_be_scored(compare, arithmetic, guidance):
  scored_BxNxT = compare(arithmetic, TOP_K, None, guidance).scored_BxNxT
  assert np.isfinite(scored_BxNxT).all()


@guidances
@pytest.mark.parametrize(
  "arithmetic",
  [
    pytest.param(HIGHEST, id="float32"),
    pytest.param(TF32, id="TF32"),
    pytest.param(BFLOAT16, id="bfloat16"),
  ],
)
def test_top_k_keeps_k(compare, arithmetic, guidance):
  kept_BxNxT = compare(arithmetic, TOP_K, None, guidance).kept_BxNxT
  assert (kept_BxNxT == TOP_K).all()


@guidances
def test_top_p_log_probs_agree(compare, guidance):
  """The last code that is let in may not be the same: 1 in a hundred may."""
  result = compare(HIGHEST, None, TOP_P, guidance)
  for read_BxNxT in (result.scored_BxNxT, result.forced_BxNxT):
    apart = np.abs(result.drawn_BxNxT - read_BxNxT)
    assert np.quantile(apart, 0.99) <= 1e-4
    assert apart.max() <= 2e-2
  assert result.kept_BxNxT.min() < result.kept_BxNxT.max()


@pytest.mark.parametrize("row", [0, 1])
def test_a_row_of_a_batch_is_the_prompt_alone(
  compare, params, prompt, keys, row
):
  together = compare(HIGHEST, TOP_K, None, 3.0).codes_BxNxT
  one = (x[row : row + 1] for x in (*prompt, keys))
  with computed_in(HIGHEST) as execution:
    alone = sampling.sample(
      params, CONFIG, GUIDED, *one, FRAMES, execution=execution
    )
  np.testing.assert_array_equal(alone.codes_BxNxT[0], together[row])


@pytest.mark.parametrize(
  "arithmetic, mean, most",
  [
    pytest.param(HIGHEST, 5e-6, 5e-5, id="float32"),
    pytest.param(BFLOAT16, 0.02, 0.2, id="bfloat16"),
    pytest.param(("int8", "default"), 0.1, 1.0, id="int8"),
  ],
)
def test_kernels_of_few_rows_agree(
  params, prompt, keys, arithmetic, mean, most
):
  """Each of its own: with guidance, eight rows."""
  few = [x[:4] for x in (*prompt, keys)]
  method = SamplingConfig(guidance=3.0)
  with computed_in(arithmetic) as execution:
    weights = sampling.prepare_weights(params, CONFIG, execution)
    drawn = sampling.sample(
      params, CONFIG, method, *few, FRAMES, execution=execution
    )
    scores = sampling.score(
      params, CONFIG, method, drawn.codes_BxNxT, *few[:2], execution=execution
    )
  assert weights.packed
  apart = np.abs(drawn.log_probs_BxNxT - scores.log_probs_BxNxT)
  assert apart.mean() <= 3 * mean
  assert apart.max() <= 3 * most


def test_padding_of_the_prompt_changes_nothing(compare, params, prompt, keys):
  plain = compare(HIGHEST, TOP_K, None, 3.0).codes_BxNxT
  tokens = jnp.pad(prompt[0], ((0, 0), (0, 3), (0, 0)), constant_values=7.0)
  mask = jnp.pad(prompt[1], ((0, 0), (0, 3)))
  with computed_in(HIGHEST) as execution:
    padded = sampling.sample(
      params, CONFIG, GUIDED, tokens, mask, keys, FRAMES, execution=execution
    )
  np.testing.assert_array_equal(padded.codes_BxNxT, plain)


@pytest.mark.parametrize(
  "arithmetic", [HIGHEST, TF32, BFLOAT16], ids=["float32", "TF32", "bfloat16"]
)
def test_the_same_key_draws_the_same_codes(
  compare, params, prompt, keys, arithmetic
):
  codes = compare(arithmetic, TOP_K, None, 3.0).codes_BxNxT
  with computed_in(arithmetic) as execution:
    again, other = (
      sampling.sample(
        params, CONFIG, GUIDED, *prompt, k, FRAMES, execution=execution
      ).codes_BxNxT
      for k in (keys, keys[::-1])
    )
  np.testing.assert_array_equal(again, codes)
  assert (other != codes).any()
