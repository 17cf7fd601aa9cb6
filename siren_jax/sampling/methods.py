"""How a code is drawn from logits, and with what probability.

One function, `log_probs`, says what a method's distribution is; drawing and
(in alignment) the policy gradient both take it from there.
"""

import dataclasses

import jax
import jax.numpy as jnp

from siren_jax.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
  """A sampling method. Numbers are data, their presence is structure.

  So another temperature needs no new compilation, and guidance that is not
  used costs nothing.

  Attributes:
    temperature: divides the logits; above 0.
    top_k: only so many most likely codes can be drawn; None: all.
    top_p: only the fewest codes that hold this probability; None: all.
    guidance: classifier-free guidance, the factor by which the logits move
      away from those without a prompt; 1 is none at twice the cost, None none.
    greedy: always the most likely code, whatever the rest says.
  """

  temperature: float = 1.0
  top_k: int | None = None
  top_p: float | None = None
  guidance: float | None = None
  greedy: bool = False

  def __post_init__(self):
    checks = (
      ("temperature", lambda x: x > 0, "above 0 (greedy is a setting)"),
      ("top_k", lambda x: x >= 1, "at least 1"),
      ("top_p", lambda x: 0 < x <= 1, "above 0 and at most 1"),
      ("guidance", lambda x: x >= 0, "at least 0; around 3 is usual"),
    )
    for name, right, limit in checks:
      value = getattr(self, name)
      # Traced values (in jit) were checked before they got there.
      if isinstance(value, int | float) and not right(value):
        raise UserError(f"{name} {value:g}: must be {limit}")


jax.tree_util.register_dataclass(
  SamplingConfig,
  data_fields=["temperature", "top_p", "guidance"],
  meta_fields=["top_k", "greedy"],
)


def guide(
  logits: jax.Array, without_prompt: jax.Array, guidance: jax.Array
) -> jax.Array:
  """Logits moved away from those without a prompt (Ho and Salimans 2022)."""
  return without_prompt + guidance * (logits - without_prompt)


def log_probs(logits: jax.Array, config: SamplingConfig) -> jax.Array:
  """Normalised log-probabilities of the method, -inf where it never draws.

  Top-k comes before top-p, as is usual. Codes that tie with the last one let
  in are let in too.

  Args:
    logits: [..., V], guided already.
  """
  logits = logits.astype(jnp.float32)
  if config.greedy:
    best = logits == jnp.max(logits, -1, keepdims=True)
    first = jnp.cumsum(best, -1) == 1
    return jnp.where(best & first, 0.0, -jnp.inf)
  logits = jax.nn.log_softmax(logits / config.temperature)
  if config.top_k is not None and config.top_k < logits.shape[-1]:
    logits = _keep(logits, jnp.ones_like(logits), config.top_k)
  if config.top_p is not None:
    logits = jax.nn.log_softmax(logits)
    # A code is in if those above it do not hold all of top_p yet.
    logits = _keep(logits, jnp.exp(logits), config.top_p)
  return jax.nn.log_softmax(logits)


def draw(keys_B: jax.Array, log_probs_BxV: jax.Array) -> jax.Array:
  """One code a row, int32 [B], each row with its own key (Gumbel's trick)."""
  size = log_probs_BxV.shape[-1]
  noise_BxV = jax.vmap(lambda key: jax.random.gumbel(key, (size,)))(keys_B)
  return jnp.argmax(log_probs_BxV + noise_BxV, -1).astype(jnp.int32)


def _keep(values: jax.Array, mass: jax.Array, enough) -> jax.Array:
  """Largest values whose mass reaches `enough`; -inf for the others.

  The threshold is found by bisection over the order of floating point
  numbers: exact in 32 steps, and a tenth of the time of a sort or `top_k`.
  """
  order = _ordered(values)
  enough = jnp.minimum(enough, jnp.sum(mass, -1))

  def halve(_, bounds):
    low, high = bounds
    middle = (low >> 1) + (high >> 1) + (low & high & 1)
    inside = order >= middle[..., None]
    reached = jnp.sum(jnp.where(inside, mass, 0), -1) >= enough
    return jnp.where(reached, middle, low), jnp.where(reached, high, middle)

  bounds = jnp.min(order, -1), jnp.max(order, -1) + 1
  threshold, _ = jax.lax.fori_loop(0, 32, halve, bounds)
  return jnp.where(order >= threshold[..., None], values, -jnp.inf)


def _ordered(values: jax.Array) -> jax.Array:
  """float32 as int32 of the same order."""
  bits = jax.lax.bitcast_convert_type(values, jnp.int32)
  return jnp.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
