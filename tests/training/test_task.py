"""One update: accumulation, averages of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from siren_jax.common.errors import UserError
from siren_jax.training import TrainState, supervised_step


def loss_fn(params, batch, key):
  error = batch["x_BxD"] @ params["w"] - batch["y_B"]
  return jnp.mean(error**2), {"error": jnp.mean(jnp.abs(error))}


@pytest.fixture
def problem():
  rng = np.random.default_rng(0)
  batch = {"x_BxD": rng.normal(size=(12, 5)), "y_B": rng.normal(size=12)}
  batch = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), batch)
  return {"w": jnp.arange(5.0)}, batch


def one_step(problem, number=0, **settings):
  params, batch = problem
  tx = optax.sgd(0.1)
  state = TrainState.create(params, tx, ema=True)
  state = state.replace(step=jnp.int32(number))
  step = jax.jit(supervised_step(loss_fn, tx, **settings))
  return step(state, batch, jax.random.key(0))


@pytest.mark.parametrize("accumulate", [2, 3, 12])
def test_accumulation_is_the_big_batch(problem, accumulate):
  big, big_metrics = one_step(problem)
  small, metrics = one_step(problem, accumulate=accumulate)
  np.testing.assert_allclose(small.params["w"], big.params["w"], rtol=1e-5)
  assert metrics.keys() == big_metrics.keys() == {"loss", "error", "grad_norm"}
  for name, value in metrics.items():
    np.testing.assert_allclose(value, big_metrics[name], rtol=1e-5)


def test_one_step_is_gradient_descent(problem):
  params, batch = problem
  x, y = np.asarray(batch["x_BxD"]), np.asarray(batch["y_B"])
  gradient = 2 / 12 * x.T @ (x @ np.arange(5.0) - y)
  state, metrics = one_step(problem)
  np.testing.assert_allclose(
    state.params["w"], params["w"] - 0.1 * gradient, rtol=1e-5
  )
  np.testing.assert_allclose(
    metrics["grad_norm"], np.linalg.norm(gradient), rtol=1e-5
  )


def test_microbatches_draw_different_noise():
  def noise_fn(params, batch, key):
    return params["w"] * jax.random.normal(key), {}

  tx = optax.sgd(1.0)
  state = TrainState.create({"w": jnp.zeros(())}, tx)
  batch, key = {"x_BxD": jnp.zeros((4, 1))}, jax.random.key(0)
  moved = supervised_step(noise_fn, tx, accumulate=2)(state, batch, key)[0]
  draws = [jax.random.normal(jax.random.fold_in(key, i)) for i in range(2)]
  np.testing.assert_allclose(-moved.params["w"], np.mean(draws), rtol=1e-6)


@pytest.mark.parametrize(("step", "decay"), [(0, 0.1), (8, 0.5), (999, 0.75)])
def test_averaged_parameters_forget_the_first_ones_soon(problem, step, decay):
  """Short at first, so that the first parameters are soon forgotten."""
  state, _ = one_step(problem, step, ema_decay=0.75)
  expected = decay * problem[0]["w"] + (1 - decay) * state.params["w"]
  np.testing.assert_allclose(state.ema["w"], expected, rtol=1e-6)
  np.testing.assert_array_equal(state.eval_params["w"], state.ema["w"])


def test_a_batch_that_does_not_divide_is_refused(problem):
  with pytest.raises(UserError, match="12 .* 5 microbatches"):
    one_step(problem, accumulate=5)
