"""The clipped policy gradient per code, with a KL penalty."""

import jax
import jax.numpy as jnp

_SMALL = 0.03  # below this, three terms of the series are exact in float32


def policy_loss(
  log_probs_BxNxT: jax.Array,
  drawn_BxNxT: jax.Array,
  reference_BxNxT: jax.Array,
  advantage_B: jax.Array,
  clip_low: float,
  clip_high: float,
  kl: float,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Mean over codes of -min(r A, clip(r) A) + kl * (e^d - d - 1).

  r = exp(log_probs - drawn) is the probability ratio of a code to when it was
  drawn (PPO, Schulman et al. 2017; two clip bounds, DAPO, Yu et al. 2025).
  d = reference - log_probs: see `divergence`.

  Args:
    log_probs_BxNxT: of the current policy; the only input with gradients.
    drawn_BxNxT: as reported by the sampler.
    reference_BxNxT: of the initial policy.
    advantage_B: of each row, shared by its codes.

  Returns:
    The loss, and metrics `kl`, an estimate of KL(policy || reference), and
    `clip_fraction`.
  """
  advantage = advantage_B[:, None, None]
  ratio = jnp.exp(log_probs_BxNxT - drawn_BxNxT)
  bounded = jnp.clip(ratio, 1 - clip_low, 1 + clip_high)
  gain = jnp.minimum(ratio * advantage, bounded * advantage)
  kl_estimate = jnp.mean(divergence(reference_BxNxT - log_probs_BxNxT))
  metrics = {
    "kl": kl_estimate,
    "clip_fraction": jnp.mean(bounded * advantage < ratio * advantage),
  }
  return kl * kl_estimate - jnp.mean(gain), metrics


def divergence(log_ratio: jax.Array) -> jax.Array:
  """e^d - d - 1 of d = log(reference / policy), for codes that were drawn.

  Its mean over samples of the policy is KL(policy || reference); it is never
  negative and has low variance (Schulman 2020). Since the samples are fixed,
  the mean of its gradient is the gradient of KL(reference || policy), as in
  GRPO (Shao et al. 2024).
  """
  # For small d the terms cancel, and float32 loses the result.
  series = log_ratio**2 * (1 / 2 + log_ratio / 6 + log_ratio**2 / 24)
  return jnp.where(
    jnp.abs(log_ratio) < _SMALL, series, jnp.expm1(log_ratio) - log_ratio
  )
