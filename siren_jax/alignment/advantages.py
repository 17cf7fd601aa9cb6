"""Rewards to advantages: how much better a rollout is than its group.

Q prompts, G rollouts of each. Every reward is brought to one scale before
weights apply, so that none drowns the others, and what is no number, or does
not vary, adds nothing.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from siren_jax.common.masks import masked_mean

_SMALLEST = 1e-4  # spread of a reward that counts as one


def group_normalised(reward_QxG: jax.Array) -> jax.Array:
  """Distance from the group's mean, over the group's deviation.

  As in GRPO (Shao et al. 2024). A rollout whose reward is not finite has 0,
  and does not count in its group.
  """
  finite = jnp.isfinite(reward_QxG)
  centred = _centred(reward_QxG, finite)
  variance_Qx1 = masked_mean(centred**2, finite, axis=1)[:, None]
  return centred / (jnp.sqrt(variance_Qx1) + _SMALLEST)


def leave_one_out(reward_QxG: jax.Array) -> jax.Array:
  """Distance from the mean of the others, over the deviation of all groups.

  As in RLOO (Ahmadian et al. 2024): the baseline is independent of the
  rollout, so the policy gradient is unbiased but for the common scale.
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
  """Weighted sum of the advantages [Q, G] that each reward gives by itself."""
  weighted = (
    weights[name] * METHODS[method](reward_QxG)
    for name, reward_QxG in rewards_QxG.items()
  )
  return jnp.asarray(sum(weighted))


def _centred(reward_QxG: jax.Array, finite_QxG: jax.Array) -> jax.Array:
  mean_Qx1 = masked_mean(reward_QxG, finite_QxG, axis=1)[:, None]
  return jnp.where(finite_QxG, reward_QxG - mean_Qx1, 0)
