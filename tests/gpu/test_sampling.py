"""The sampler says what the scorer says, in the arithmetic of a GPU.

float32 is exact where products are asked to be; by default a GPU rounds what
goes into them to TF32, 10 bits. bfloat16 has 7.
"""

import contextlib
import dataclasses
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

ROWS, FRAMES, TOKENS, TOP_K = 32, 24, 5, 64
CONFIG = experts.ExpertConfig(
  dim=64, heads=4, kv_heads=2, temporal_layers=2, depth_layers=2,
  prompt_dim=16, feature_dim=16, num_codebooks=4, num_experts=2,
  codebook_size=1024, init_std=0.15,
)  # fmt: skip
HIGHEST = ("float32", "highest")
TF32 = ("float32", "default")
BFLOAT16 = ("bfloat16", "default")
# The scorer is not the sampler to the bit, so what is drawn last of its top 64
# need not be among them when it is scored.
NOT_THE_SAME = pytest.mark.xfail(
  strict=True, reason="the scorer rules out codes drawn in bfloat16"
)
TIES = pytest.mark.xfail(
  strict=True, reason="logits in bfloat16 tie, and what ties is kept"
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

  @functools.partial(jax.jit, static_argnames="config")
  def read(params, config, method, codes):
    scores = sampling.score(params, config, method, codes, *prompt)
    whole = jnp.ones((ROWS, FRAMES), bool)
    logits, without = (
      experts.logits(params, config, codes, tokens, whole, mask)
      for tokens, mask in (prompt, experts.null_prompt(*prompt))
    )
    guided = methods.guide(logits, without, method.guidance)
    log_probs = methods.log_probs(guided, method)
    forced = jnp.take_along_axis(log_probs, codes[..., None], -1)[..., 0]
    kept = jnp.sum(jnp.isfinite(log_probs), -1)
    return scores.log_probs_BxNxT, forced, kept

  # A fixture's result has to stay as it is, so it is computed once.
  @functools.cache
  def compare(arithmetic, top_k, top_p, guidance):
    method = SamplingConfig(top_k=top_k, top_p=top_p, guidance=guidance)
    with computed_in(arithmetic) as config:
      drawn = sampling.sample(params, config, method, *prompt, keys, FRAMES)
      scored, forced, kept = read(params, config, method, drawn.codes_BxNxT)
    return Compared(*jax.device_get((*drawn, scored, forced, kept)))

  return compare


@contextlib.contextmanager
def computed_in(arithmetic) -> Iterator[experts.ExpertConfig]:
  dtype, precision = arithmetic
  with jax.default_matmul_precision(precision):
    yield dataclasses.replace(CONFIG, dtype=dtype)


guidances = pytest.mark.parametrize("guidance", [1.0, 3.0])


@guidances
@pytest.mark.parametrize(
  "arithmetic, mean, most, ruled_out",
  [
    pytest.param(HIGHEST, 1e-5, 1e-4, 0, id="float32"),
    pytest.param(TF32, 2e-3, 2e-2, 0.005, id="TF32"),
    pytest.param(BFLOAT16, 0.05, 0.4, 0.03, id="bfloat16"),
  ],
)
def test_top_k(compare, arithmetic, mean, most, ruled_out, guidance):
  """Sampler, scorer and teacher-forced logits, to so many nats."""
  result = compare(arithmetic, TOP_K, None, guidance)
  for read in (result.scored_BxNxT, result.forced_BxNxT):
    possible = np.isfinite(read)
    apart = np.abs(result.drawn_BxNxT - read)[possible]
    print(apart.mean(), apart.max(), np.sum(~possible), result.kept_BxNxT.max())
    assert apart.mean() <= mean
    assert apart.max() <= most
    assert np.mean(~possible) <= ruled_out


@guidances
@pytest.mark.parametrize(
  "top_k, top_p", [(None, 0.9), (TOP_K, 0.9)], ids=["p", "k, p"]
)
def test_top_p(compare, top_k, top_p, guidance):
  result = compare(HIGHEST, top_k, top_p, guidance)
  for read in (result.scored_BxNxT, result.forced_BxNxT):
    apart = np.abs(result.drawn_BxNxT - read)
    print(apart.mean(), apart.max(), result.kept_BxNxT.min(), result.kept_BxNxT.max())
