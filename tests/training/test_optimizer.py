"""Schedule, weight decay mask, clipping."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from siren_jax.common.errors import UserError
from siren_jax.training import (
  OptimizerConfig,
  TrainConfig,
  learning_rate,
  make_optimizer,
)


def test_learning_rate_warms_up_and_falls_by_a_cosine():
  rate = learning_rate(
    OptimizerConfig(learning_rate=2.0, warmup_steps=10, steps=110)
  )
  np.testing.assert_allclose(
    [rate(s) for s in (0, 5, 10, 60, 110, 200)],
    [0.0, 1.0, 2.0, 1.1, 0.2, 0.2],
    rtol=1e-6,
  )


def test_schedule_without_warm_up_starts_at_the_peak():
  rate = learning_rate(OptimizerConfig(learning_rate=2.0, warmup_steps=0))
  assert rate(0) == 2.0


def test_schedule_of_no_steps_takes_those_of_training():
  config = OptimizerConfig(learning_rate=2.0, warmup_steps=10)
  for steps in (110, 1010):
    rate = learning_rate(config.with_steps(steps))
    np.testing.assert_allclose(rate(steps), 0.2, rtol=1e-6)
  assert OptimizerConfig(steps=200).with_steps(300).steps == 200
  np.testing.assert_allclose(
    [learning_rate(config)(s) for s in (0, 5, 10, 10_000)], [0, 1, 2, 2]
  )


def test_a_warm_up_longer_than_training_is_cut(caplog):
  config = OptimizerConfig(warmup_steps=10)
  assert config.with_steps(11).warmup_steps == 10
  assert config.with_steps(10) == OptimizerConfig(warmup_steps=1, steps=10)
  assert config.with_steps(0) == config
  assert not caplog.text  # The verbs say it, once.


def test_a_limit_that_is_none_is_not_named():
  with pytest.raises(UserError) as error:
    OptimizerConfig(warmup_steps=-1)
  assert "below" not in str(error.value)
  with pytest.raises(UserError, match="below optimizer.steps=9"):
    OptimizerConfig(warmup_steps=9, steps=9)


def first_update(params, grads, **changes):
  config = OptimizerConfig(learning_rate=0.1, warmup_steps=0, **changes)
  tx = make_optimizer(config)
  return tx.update(grads, tx.init(params), params)[0]


def test_decay_only_on_two_axes_or_more():
  params = {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full((3,), 2.0)}
  grads = jax.tree.map(jnp.zeros_like, params)
  updates = first_update(params, grads, weight_decay=0.5)
  np.testing.assert_allclose(updates["kernel"], -0.1 * 0.5 * 2.0, rtol=1e-6)
  np.testing.assert_array_equal(updates["bias"], 0.0)


def test_decay_can_be_chosen_by_path():
  params = {"stacked": {"bias": jnp.ones((2, 3)), "kernel": jnp.ones((2, 3))}}
  tx = make_optimizer(
    OptimizerConfig(warmup_steps=0), decays=lambda path: path[-1] != "bias"
  )
  grads = jax.tree.map(jnp.zeros_like, params)
  updates, _ = tx.update(grads, tx.init(params), params)
  assert np.all(updates["stacked"]["kernel"] != 0)
  np.testing.assert_array_equal(updates["stacked"]["bias"], 0.0)


def test_clipping_bounds_the_moments():
  params = {"kernel": jnp.zeros((2, 2))}
  tx = make_optimizer(OptimizerConfig(warmup_steps=0, clip_norm=1.0, b1=0.9))
  grads = {"kernel": jnp.full((2, 2), 100.0)}
  _, state = tx.update(grads, tx.init(params), params)
  mu = optax.tree_utils.tree_get(state, "mu")["kernel"]
  np.testing.assert_allclose(mu, 0.1 * 0.5, rtol=1e-6)


@pytest.mark.parametrize(
  "build, match",
  [
    (lambda: OptimizerConfig(learning_rate=0.0), "learning_rate=0"),
    (lambda: OptimizerConfig(warmup_steps=9, steps=9), "warmup_steps=9"),
    (lambda: OptimizerConfig(warmup_steps=-1), "warmup_steps=-1"),
    (lambda: OptimizerConfig(steps=-1), "steps=-1"),
    (lambda: OptimizerConfig(clip_norm=0.0), "clip_norm=0"),
    (lambda: OptimizerConfig(clip_norm=-1.0), "clip_norm=-1"),
    (lambda: OptimizerConfig(final_fraction=-0.5), "final_fraction=-0.5"),
    (lambda: OptimizerConfig(weight_decay=-1.0), "weight_decay=-1"),
    (lambda: OptimizerConfig(b2=1.0), "b2=1"),
    (lambda: OptimizerConfig(b1=math.nan), "b1=nan"),
    (lambda: TrainConfig(steps=0), "steps=0"),
    (lambda: TrainConfig(seed=-1), "seed -1"),
    (lambda: TrainConfig(ema_decay=1.0), "ema_decay=1.0"),
    (lambda: TrainConfig(batch_size=6, accumulate=4), "batch_size=6"),
  ],
)
def test_settings_out_of_range_are_refused(build, match):
  with pytest.raises(UserError, match=match):
    build()


def test_what_is_not_trained_stays_and_does_not_count_in_the_norm():
  config = OptimizerConfig(learning_rate=1.0, warmup_steps=0, clip_norm=1.0)
  params = {"a": jnp.ones((2, 2)), "b": jnp.ones((2, 2))}
  grads = {"a": jnp.full((2, 2), 0.1), "b": jnp.full((2, 2), 1e6)}
  some = make_optimizer(config, trains=lambda path: path[0] == "a")
  alone = make_optimizer(config)
  updates, state = some.update(grads, some.init(params), params)
  only_a = {"a": params["a"]}
  expected, expected_state = alone.update(
    {"a": grads["a"]}, alone.init(only_a), only_a
  )
  np.testing.assert_array_equal(updates["b"], 0)
  np.testing.assert_array_equal(updates["a"], expected["a"])
  jax.tree.map(
    np.testing.assert_array_equal, moments(state), moments(expected_state)
  )


def moments(opt_state):
  """The arrays of an optimizer's state, without its counters."""
  return [x for x in jax.tree.leaves(opt_state) if x.ndim]
