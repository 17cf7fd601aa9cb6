"""Sampling methods against what they say on paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.common import tuning
from siren_jax.common.errors import UserError
from siren_jax.sampling import SamplingConfig, methods


@pytest.fixture(params=[tuning.CPU, tuning.GPU], ids=["cpu", "gpu"])
def tuned(request, monkeypatch):
  """As for each kind of device."""
  monkeypatch.setattr(tuning, "current", lambda: request.param)


@pytest.fixture
def logits():
  return 3 * jax.random.normal(jax.random.key(0), (5, 64))


def _by_hand(logits, temperature=1.0, top_k=None, top_p=None):
  x = np.asarray(logits, "f8") / temperature
  p = np.exp(x - x.max())
  p /= p.sum()
  order = np.argsort(-p)
  keep = np.zeros(len(p), bool)
  keep[order[: top_k or len(p)]] = True
  p = np.where(keep, p, 0) / p[keep].sum()
  if top_p is not None:
    before = np.concatenate([[0], np.cumsum(p[order])[:-1]])
    keep[order[before >= top_p]] = False
    p = np.where(keep, p, 0) / p[keep].sum()
  return p


@pytest.mark.parametrize(
  "settings",
  [
    {},
    {"temperature": 0.6},
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": 64},
    {"top_k": 500},
    {"top_p": 0.5},
    {"top_p": 0.001},
    {"top_p": 1.0},
    {"temperature": 1.4, "top_k": 20, "top_p": 0.8},
  ],
)
def test_distribution_is_the_method_s(tuned, logits, settings):
  got = jnp.exp(methods.log_probs(logits, SamplingConfig(**settings)))
  for row in range(len(logits)):
    np.testing.assert_allclose(
      got[row], _by_hand(logits[row], **settings), atol=1e-6
    )


@pytest.mark.parametrize("size", [5, 64, 70])
def test_draws_follow_the_distribution(tuned, size):
  logits = 2 * jax.random.normal(jax.random.key(0), (size,))
  log_probs = methods.log_probs(logits, SamplingConfig(top_k=6))
  uniform = (jnp.arange(20000) + 0.5) / 20000
  codes = methods.draw(jnp.broadcast_to(log_probs, (20000, size)), uniform)
  shares = np.bincount(codes, minlength=size) / 20000
  np.testing.assert_allclose(shares, np.exp(log_probs), atol=2e-4)


def test_rows_draw_from_their_own_keys():
  keys = jax.random.split(jax.random.key(1), 5000)
  uniform = methods.uniforms(keys, 3)
  np.testing.assert_array_equal(uniform[7:8], methods.uniforms(keys[7:8], 3))
  spread = np.histogram(uniform, 10, (0, 1))[0] / uniform.size
  np.testing.assert_allclose(spread, 0.1, atol=0.015)
  np.testing.assert_allclose(np.corrcoef(uniform.T), np.eye(3), atol=0.06)


@pytest.mark.parametrize("uniform", [0.0, 1e-30, 0.5, 1 - 2**-24, 1.0])
def test_impossible_codes_are_never_drawn(tuned, uniform):
  # Only every third code has a chance, and their sum rounds.
  logits = jnp.where(jnp.arange(1024) % 3 == 1, 0.1, -jnp.inf)
  log_probs = methods.log_probs(logits, SamplingConfig())
  code = methods.draw(log_probs, jnp.float32(uniform))
  assert log_probs[code] > -jnp.inf


def test_codes_that_tie_are_all_let_in(tuned):
  logits = jnp.array([3.0, 1.0, 1.0, 0.0, -0.0, 1.0, -2.0])
  for top_k, kept in ((1, 1), (2, 4), (4, 4), (5, 5), (6, 6), (9, 7)):
    log_probs = methods.log_probs(logits, SamplingConfig(top_k=top_k))
    assert jnp.sum(jnp.isfinite(log_probs)) == kept


def test_kinds_of_devices_keep_the_same_codes(monkeypatch):
  logits = jax.random.normal(jax.random.key(3), (50, 1024))
  for config in (SamplingConfig(top_k=64), SamplingConfig(top_p=0.9)):
    kept = []
    for tuned in (tuning.CPU, tuning.GPU):
      monkeypatch.setattr(tuning, "current", lambda tuned=tuned: tuned)
      kept.append(np.isfinite(methods.log_probs(logits, config)))
    np.testing.assert_array_equal(*kept)
    assert kept[0].any(-1).all()


def test_greedy_takes_the_first_of_the_best():
  logits = jnp.array([[0.0, 3.0, 3.0, -1.0]])
  config = SamplingConfig(greedy=True)
  np.testing.assert_array_equal(
    methods.log_probs(logits, config)[0], [-np.inf, 0, -np.inf, -np.inf]
  )


def test_guidance_of_one_and_of_zero(logits):
  other = logits[::-1]
  np.testing.assert_allclose(
    methods.guide(logits, other, 1.0), logits, atol=1e-5
  )
  np.testing.assert_allclose(
    methods.guide(logits, other, 0.0), other, atol=1e-5
  )


def test_another_temperature_compiles_nothing_new(logits):
  traced = []

  @jax.jit
  def function(logits, config):
    traced.append(config)
    return methods.log_probs(logits, config)

  for temperature in (0.5, 1.0, 2.0):
    function(logits, SamplingConfig(temperature=temperature, top_k=5))
  assert len(traced) == 1


@pytest.mark.parametrize(
  ("name", "value"),
  [("temperature", 0), ("top_k", 0), ("top_p", 1.5), ("guidance", -1)],
)
def test_impossible_settings_are_reported(name, value):
  with pytest.raises(UserError, match=name):
    SamplingConfig(**{name: value})
