"""Advantages against cases worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.alignment import advantages

# Group means 2 and 10; deviations -1, 1, -2, 2 and 0, 0, 0, 0.
REWARD = jnp.array([[1.0, 3, 0, 4], [10, 10, 10, 10]])
NONE = [0, 0, 0, 0]


def close(actual, expected, **options):
  np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-6, **options)


def test_group_normalised_divides_by_the_spread_of_all_groups():
  spread = np.sqrt((1 + 1 + 4 + 4) / 4)
  expected = np.array([-1, 1, -2, 2]) / spread
  close(advantages.group_normalised(REWARD), [expected, NONE])


def test_leave_one_out_is_the_distance_from_the_others():
  # Others' means: 7/3, 5/3, 8/3, 4/3. One deviation for both groups.
  apart = np.array([1 - 7 / 3, 3 - 5 / 3, 0 - 8 / 3, 4 - 4 / 3])
  spread = np.sqrt((1 + 1 + 4 + 4) / 8)
  close(advantages.leave_one_out(REWARD), [apart / spread, NONE])


@pytest.mark.parametrize("method", advantages.METHODS)
def test_scale_and_offset_of_a_reward_do_not_matter(method):
  of = advantages.METHODS[method]
  close(of(50 * REWARD - 7), of(REWARD))


@pytest.mark.parametrize("method", advantages.METHODS)
def test_a_constant_reward_gives_no_advantage(method):
  level = jnp.full((2, 4), 0.1) + jnp.array([0, 1e-9, -1e-9, 0])
  close(advantages.METHODS[method](level), [NONE, NONE])


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("method", advantages.METHODS)
def test_a_reward_that_is_not_finite_does_not_count(method, bad):
  of = advantages.METHODS[method]
  holed = REWARD[:1].at[0, 1].set(bad)
  advantage = of(holed)[0]
  assert advantage[1] == 0
  close(
    advantage[jnp.array([0, 2, 3])], of(REWARD[:1, jnp.array([0, 2, 3])])[0]
  )
  close(of(jnp.full((1, 4), bad)), [NONE])


@pytest.mark.parametrize("method", advantages.METHODS)
def test_rewards_are_brought_to_one_scale_before_they_are_weighted(method):
  other = jnp.array([[4.0, 0, 3, 1], [1, 2, 3, 4]])
  of = advantages.METHODS[method]
  advantage = advantages.combine(
    {"a": REWARD, "b": 1000 * other}, {"a": 2.0, "b": -1.0}, method
  )
  close(advantage, 2 * of(REWARD) - of(other))


@pytest.mark.parametrize("method", advantages.METHODS)
def test_a_broken_reward_does_not_poison_the_rest(method):
  broken = jnp.full_like(REWARD, jnp.nan)
  advantage = advantages.combine(
    {"a": REWARD, "b": broken}, {"a": 1.0, "b": 1.0}, method
  )
  close(advantage, advantages.METHODS[method](REWARD))


@pytest.mark.parametrize("method", advantages.METHODS)
@pytest.mark.parametrize("value", [7.3, 333.3, 3333.3, -1e6])
@pytest.mark.parametrize("group", [6, 8])
def test_a_large_constant_reward_gives_none_either(method, value, group):
  level = jnp.full((2, group), value).at[0, 1].set(jnp.nan)
  np.testing.assert_array_equal(advantages.METHODS[method](level), 0)
