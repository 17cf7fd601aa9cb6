"""The clipped policy gradient, code by code, and what holds it back."""

import jax
import jax.numpy as jnp


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

  r = exp(log_probs - drawn) is how much likelier a code is than when it was
  drawn (PPO, Schulman et al. 2017; bounds of two sizes, DAPO, Yu et al. 2025).
  d = reference - log_probs: the second term is the estimator of
  KL(policy || reference) that is never negative and varies little (Schulman
  2020).

  Args:
    log_probs_BxNxT: of the policy, now. Gradients go here and nowhere else.
    drawn_BxNxT: as the sampler reported them.
    reference_BxNxT: of the policy's beginning.
    advantage_B: of every row, shared by its codes.

  Returns:
    The loss, and metrics `kl` and `clip_fraction`.
  """
  advantage = advantage_B[:, None, None]
  ratio = jnp.exp(log_probs_BxNxT - drawn_BxNxT)
  bounded = jnp.clip(ratio, 1 - clip_low, 1 + clip_high)
  gain = jnp.minimum(ratio * advantage, bounded * advantage)
  drift = reference_BxNxT - log_probs_BxNxT
  divergence = jnp.mean(jnp.exp(drift) - drift - 1)
  metrics = {
    "kl": divergence,
    "clip_fraction": jnp.mean(bounded * advantage < ratio * advantage),
  }
  return kl * divergence - jnp.mean(gain), metrics
