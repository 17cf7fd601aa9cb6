"""Rewards to advantages: how much better a rollout is than its group.

Q prompts, G rollouts of each. Every reward is normalised before it is weighted,
so that none dominates. Rewards that are not finite or do not vary contribute
nothing.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from siren_jax.common.masks import masked_mean

_SMALLEST = 1e-4  # added to deviations: a smaller spread is no signal


def group_normalised(reward_QxG: jax.Array) -> jax.Array:
  """Distance from the group's mean, over the group's deviation.

  As in GRPO (Shao et al. 2024). A rollout whose reward is not finite gets 0 and
  is left out of the group's statistics.
  """
  finite = jnp.isfinite(reward_QxG)
  centred = _centred(reward_QxG, finite)
  variance_Qx1 = masked_mean(centred**2, finite, axis=1)[:, None]
  return centred / (jnp.sqrt(variance_Qx1) + _SMALLEST)


def leave_one_out(reward_QxG: jax.Array) -> jax.Array:
  """Distance from the mean of the others, over the deviation of all groups.

  As in RLOO (Ahmadian et al. 2024): the baseline is independent of the
  rollout, so the policy gradient is unbiased up to the common scale.
  """
  finite = jnp.isfinite(reward_QxG)
  count = jnp.sum(finite, 1, keepdims=True)
  centred = _centred(reward_QxG, finite)
  deviation = jnp.sqrt(masked_mean(centred**2, finite))
  return centred * count / jnp.maximum(count - 1, 1) / (deviation + _SMALLEST)


METHODS = {"group": group_normalised, "leave_one_out": leave_one_out}


def combine(
  rewards_QxG: Mapping[str, jax.Array],
  weights: Mapping[str, float],
  method: str,
) -> jax.Array:
  """Weighted sum of the advantages [Q, G] of the individual rewards."""
  weighted = (
    weights[name] * METHODS[method](reward_QxG)
    for name, reward_QxG in rewards_QxG.items()
  )
  return jnp.asarray(sum(weighted))


def _centred(reward_QxG: jax.Array, finite_QxG: jax.Array) -> jax.Array:
  """Distances from the mean of a group; 0 where a reward does not vary.

  The largest is subtracted first: the mean of large equal numbers is rounded.
  """
  largest_Qx1 = jnp.where(finite_QxG, reward_QxG, -jnp.inf).max(1)[:, None]
  shifted_QxG = jnp.where(finite_QxG, reward_QxG - largest_Qx1, 0)
  mean_Qx1 = masked_mean(shifted_QxG, finite_QxG, axis=1)[:, None]
  return jnp.where(finite_QxG, shifted_QxG - mean_Qx1, 0)
