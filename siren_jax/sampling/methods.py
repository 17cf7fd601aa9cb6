"""How a code is drawn from logits, and with what probability.

One function, `log_probs`, defines the distribution of a method; both sampling
and the policy gradient of the alignment use it.
"""

import jax
import jax.numpy as jnp

from siren_jax.common import tuning
from siren_jax.sampling.config import SamplingConfig


def guide(
  logits: jax.Array, without_prompt: jax.Array, guidance: jax.Array | float
) -> jax.Array:
  """Logits with classifier-free guidance (Ho and Salimans 2022)."""
  return without_prompt + guidance * (logits - without_prompt)


def log_probs(logits: jax.Array, config: SamplingConfig) -> jax.Array:
  """Normalised log-probabilities of the method, -inf where it never draws.

  Top-k is applied before top-p, as usual. Codes tied with the last one kept are
  kept too.

  Args:
    logits: [..., V], after guidance.
  """
  logits = logits.astype(jnp.float32)
  if config.greedy:
    best = logits == jnp.max(logits, -1, keepdims=True)
    first = jnp.cumsum(best, -1) == 1
    return jnp.where(best & first, 0.0, -jnp.inf)
  logits = logits / config.temperature
  if config.top_k is not None:
    logits = _keep(logits, jnp.ones_like(logits), config.top_k)
  if config.top_p is not None:
    # A code is kept if those above it have less than top_p in total.
    logits = _keep(logits, jax.nn.softmax(logits), config.top_p)
  return jax.nn.log_softmax(logits)


def uniforms(keys_B: jax.Array, count: int) -> jax.Array:
  """Random numbers for `draw`, `count` per row: [B, count] in [0, 1).

  Those of a row depend on its own key.
  """
  return jax.vmap(lambda key: jax.random.uniform(key, (count,)))(keys_B)


def draw(log_probs: jax.Array, uniform: jax.Array) -> jax.Array:
  """Draws one code from each distribution [..., V], int32.

  The first code at which the cumulative probability reaches `uniform` [...]:
  one random number per code, where the Gumbel trick takes V. `tuning` says
  whether the group of codes is found first, then the code in it.
  """
  probs, size = jnp.exp(log_probs), tuning.current().draw_group
  if not size:
    return _reach(probs, uniform * jnp.sum(probs, -1))[0]
  padding = [(0, 0)] * (probs.ndim - 1) + [(0, -probs.shape[-1] % size)]
  groups = jnp.pad(probs, padding).reshape(*probs.shape[:-1], -1, size)
  masses = jnp.sum(groups, -1)
  group, rest = _reach(masses, uniform * jnp.sum(masses, -1))
  chosen = jnp.take_along_axis(groups, group[..., None, None], -2)
  code, _ = _reach(chosen[..., 0, :], rest)
  return size * group + code


def _reach(masses: jax.Array, goal: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Index where the cumulative mass reaches the goal, and the remainder."""
  sums = _running_sums(masses)
  # If rounding leaves the goal unreached, the largest sum counts. Entries
  # without mass are never chosen.
  reached = jnp.where(masses > 0, jnp.minimum(sums, goal[..., None]), -1)
  index = jnp.argmax(reached, -1).astype(jnp.int32)
  before = jnp.take_along_axis(sums - masses, index[..., None], -1)[..., 0]
  return index, goal - before


def _running_sums(masses: jax.Array) -> jax.Array:
  if tuning.current().draw_group:
    return jnp.cumsum(masses, -1)
  index = jnp.arange(masses.shape[-1])
  return jnp.sum(
    jnp.where(index <= index[:, None], masses[..., None, :], 0), -1
  )


def _keep(
  values: jax.Array, mass: jax.Array, enough: jax.Array | float
) -> jax.Array:
  """Keeps the largest values whose mass reaches `enough`; -inf for the others.

  If the total does not reach it (rounding), all are kept. `tuning` says whether
  the threshold is found by bisection over the bits of floating-point numbers
  (on a CPU, a tenth of the time of a sort or `top_k`), or the mass above each
  value is summed, in one kernel.
  """
  order = _ordered(values)
  if not tuning.current().bisect:
    above = order[..., None, :] > order[..., :, None]
    mass_above = jnp.sum(jnp.where(above, mass[..., None, :], 0), -1)
    return jnp.where(mass_above < enough, values, -jnp.inf)

  def try_bit(i: jax.Array, threshold: jax.Array) -> jax.Array:
    higher = threshold + (jnp.int32(1) << (31 - i))  # wraps from -2^31 to 0
    inside = order >= higher[..., None]
    reached = jnp.sum(jnp.where(inside, mass, 0), -1) >= enough
    return jnp.where(reached, higher, threshold)

  lowest = jnp.full(values.shape[:-1], jnp.iinfo(jnp.int32).min)
  threshold = jax.lax.fori_loop(0, 32, try_bit, lowest)
  return jnp.where(order >= threshold[..., None], values, -jnp.inf)


def _ordered(values: jax.Array) -> jax.Array:
  """Maps float32 to int32 with the same order."""
  bits = jax.lax.bitcast_convert_type(values, jnp.int32)
  return jnp.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
