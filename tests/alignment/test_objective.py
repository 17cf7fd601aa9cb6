"""The objective against cases worked out by hand, and against enumeration."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts, sampling
from siren_jax.alignment import advantages, objective

BOUNDS = dict(clip_low=0.2, clip_high=0.3)


def one_code(ratio, advantage, reference=0.0, kl=0.0):
  """Loss, gradient and metrics of a batch of one code, drawn at log-prob 0."""
  fixed = jnp.zeros((1, 1, 1)), jnp.full((1, 1, 1), reference)
  loss = jax.value_and_grad(
    lambda x: objective.policy_loss(
      x, *fixed, jnp.array([advantage]), **BOUNDS, kl=kl
    ),
    has_aux=True,
  )
  (value, metrics), grad = loss(jnp.full((1, 1, 1), np.log(ratio)))
  return float(value), float(grad[0, 0, 0]), metrics


@pytest.mark.parametrize(
  "ratio, advantage, loss, gradient, clipped",
  [
    (1.0, 2.0, -2.0, -2.0, 0),  # as drawn: -A
    (1.2, 2.0, -2.4, -2.4, 0),
    (1.5, 2.0, -2.6, 0.0, 1),  # good, and likelier by 30 % already
    (0.5, 2.0, -1.0, -1.0, 0),  # good, and has become unlikely: no bound
    (0.5, -2.0, 1.6, 0.0, 1),  # bad, and less likely by 20 % already
    (1.5, -2.0, 3.0, 3.0, 0),  # bad, and has become likelier: no bound
  ],
)
def test_loss_and_gradient_are_clipped_as_in_ppo(
  ratio, advantage, loss, gradient, clipped
):
  actual = one_code(ratio, advantage)
  assert actual[:2] == pytest.approx((loss, gradient), abs=1e-5)
  assert actual[2]["clip_fraction"] == clipped


def test_the_divergence_of_a_code_is_exp_d_minus_d_minus_1():
  """reference / policy = 2: log-ratio d = log 2, e^d - d - 1."""
  ratio, kl = 0.5, 0.1
  loss, gradient, metrics = one_code(ratio, 0.0, 0.0, kl)
  assert metrics["kl"] == pytest.approx(1 - np.log(2), rel=1e-5)
  assert loss == pytest.approx(kl * (1 - np.log(2)), rel=1e-5)
  assert gradient == pytest.approx(kl * (1 - 2), rel=1e-5)  # 1 - e^d


def test_estimated_divergence_is_the_exact_one():
  keys = jax.random.split(jax.random.key(0), 3)
  p, q = jax.nn.log_softmax(jax.random.normal(keys[0], (2, 8)))
  drawn = jax.random.categorical(keys[1], p, shape=(40_000,))
  rows = (x[drawn][:, None, None] for x in (p, p, q))
  _, metrics = objective.policy_loss(
    *rows, jnp.zeros(len(drawn)), **BOUNDS, kl=0.0
  )
  exact = float(jnp.sum(jnp.exp(p) * (p - q)))
  assert metrics["kl"] == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize("log_ratio", [0.0, 1e-7, -1e-5, 3e-3, -0.029, 0.031])
def test_a_small_divergence_does_not_cancel(log_ratio):
  exact = np.expm1(np.float64(log_ratio)) - log_ratio
  if abs(log_ratio) < 1e-3:  # float64 cancels too
    exact = log_ratio**2 / 2 + log_ratio**3 / 6
  value = objective.divergence(jnp.float32(log_ratio))
  np.testing.assert_allclose(value, exact, rtol=1e-4)
  assert value >= 0


def test_the_gradient_of_the_divergence_is_that_of_the_other_direction():
  """On fixed draws of the policy; all codes, weighed by their probability."""
  policy, reference = jax.random.normal(jax.random.key(0), (2, 8))
  reference = jax.nn.log_softmax(reference)
  fixed = jax.nn.softmax(policy)

  def estimate(x):
    drift = reference - jax.nn.log_softmax(x)
    return jnp.sum(fixed * objective.divergence(drift))

  def divergence(p, q):
    return jnp.sum(jnp.exp(p) * (p - q))

  def forward(x):
    return divergence(reference, jax.nn.log_softmax(x))

  def reverse(x):
    return divergence(jax.nn.log_softmax(x), reference)

  np.testing.assert_allclose(estimate(policy), reverse(policy), rtol=1e-5)
  gradient = jax.grad(estimate)(policy)
  np.testing.assert_allclose(gradient, jax.grad(forward)(policy), atol=1e-6)
  assert np.abs(gradient - jax.grad(reverse)(policy)).max() > 0.01


def test_the_mean_runs_over_rows_and_codes():
  log_probs = jnp.zeros((2, 2, 3))
  loss, metrics = objective.policy_loss(
    log_probs, log_probs, log_probs, jnp.array([1.0, 4.0]), **BOUNDS, kl=1.0
  )
  assert loss == -2.5
  assert metrics == {"kl": 0, "clip_fraction": 0}


FRAMES, BOOKS, CODES = 2, 2, 3
POLICY = (0,)


@pytest.fixture(scope="module")
def model():
  config = experts.ExpertConfig(
    dim=8, heads=2, kv_heads=2, temporal_layers=1, depth_layers=1,
    prompt_dim=4, feature_dim=4, num_codebooks=BOOKS, num_experts=BOOKS,
    codebook_size=CODES, init_std=0.5,
  )  # fmt: skip
  tables = {
    "codebook_NxVx8": jax.random.normal(jax.random.key(5), (BOOKS, CODES, 8)),
    "weight_NxFx8": jax.random.normal(jax.random.key(6), (BOOKS, 4, 8)),
    "bias_NxF": jnp.zeros((BOOKS, 4)),
  }
  init = jax.jit(experts.init, static_argnums=1)
  params = nn.unbox(init(jax.random.key(1), config, tables))
  prompt = jax.random.normal(jax.random.key(2), (1, 2, 4))
  return config, params, prompt, jnp.ones((1, 2), bool)


@pytest.mark.parametrize("guidance", [None, 2.0])
def test_gradient_is_that_of_the_expected_reward(model, guidance):
  """All 81 clips of a toy, weighed by their exact probability.

  The reward looks at deeper codes too: their average is what the policy is
  credited with.
  """
  config, params, prompt, mask = model
  method = sampling.SamplingConfig(temperature=0.8, guidance=guidance)
  reward_of = jax.random.normal(jax.random.key(3), (CODES ** (BOOKS * FRAMES),))
  place = CODES ** jnp.arange(BOOKS * FRAMES).reshape(BOOKS, FRAMES)
  policy = jax.tree.map(lambda x: x[:1], params)

  def log_probs(tuned, codes, numbers=None, of=None):
    rows = len(codes)
    return sampling.score(
      {"params": tuned, "frozen": (of or params)["frozen"]}, config, method,
      codes, jnp.repeat(prompt, rows, 0), jnp.repeat(mask, rows, 0), numbers,
      execution=experts.Execution(expert_loop="vmap"),
    ).log_probs_BxNxT  # fmt: skip

  def expected_reward(tuned):
    every = jnp.array(list(itertools.product(range(CODES), repeat=4)))
    codes = every.reshape(-1, BOOKS, FRAMES)
    whole = jax.tree.map(
      lambda new, old: jnp.concatenate([new, old[1:]]), tuned, params["params"]
    )
    prob = jnp.exp(jnp.sum(log_probs(whole, codes), (1, 2)))
    return jnp.sum(prob * reward_of[jnp.sum(codes * place, (1, 2))])

  @jax.jit
  def estimate(key):
    rows = 1024
    drawn = sampling.sample(
      params, config, method, jnp.repeat(prompt, rows, 0),
      jnp.repeat(mask, rows, 0), jax.random.split(key, rows), FRAMES,
    )  # fmt: skip
    codes = drawn.codes_BxNxT
    reward = reward_of[jnp.sum(codes * place, (1, 2))]
    advantage = advantages.leave_one_out(reward[None])[0]

    def loss(tuned):
      now = log_probs(tuned, codes, POLICY, policy)
      return objective.policy_loss(
        now, drawn.log_probs_BxNxT[:, :1], now, advantage, **BOUNDS, kl=0.0
      )[0]

    # The common scale comes off again; the loss is a mean over codes.
    return jax.tree.map(
      lambda g: -g * FRAMES * jnp.std(reward), jax.grad(loss)(policy["params"])
    )

  def flat(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])

  exact = flat(jax.jit(jax.grad(expected_reward))(policy["params"]))
  estimates = np.stack([flat(estimate(jax.random.key(i))) for i in range(40)])
  error = estimates.std(0) / np.sqrt(len(estimates) - 1)
  moves = np.abs(exact) > 1e-5
  assert moves.sum() > 100
  assert (np.abs(estimates.mean(0) - exact) < 5 * error + 1e-5).all()
  cosine = exact @ estimates.mean(0) / np.linalg.norm(exact)
  assert cosine / np.linalg.norm(estimates.mean(0)) > 0.99
  assert np.linalg.norm(estimates.mean(0)) == pytest.approx(
    np.linalg.norm(exact), rel=0.05
  )
