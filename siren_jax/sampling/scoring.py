"""Log-probs of given codes: the teacher-forced counterpart of the sampler."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.ensemble import logits, null_prompt
from siren_jax.experts.execution import Execution
from siren_jax.sampling import methods
from siren_jax.sampling.config import SamplingConfig


class Scores(NamedTuple):
  """Result of `score`; N runs over the codebooks of the given experts.

  Attributes:
    log_probs_BxNxT: of each code.
    entropy_BxNxT: in nats, of the distribution of each code.
  """

  log_probs_BxNxT: jax.Array
  entropy_BxNxT: jax.Array


def score(
  params: Mapping[str, Any],
  config: ExpertConfig,
  sampling: SamplingConfig,
  codes_BxNxT: jax.Array,
  prompt_BxPxC: jax.Array,
  prompt_mask_BxP: jax.Array,
  numbers: Sequence[int] | None = None,
  *,
  execution: Execution = Execution(),
) -> Scores:
  """Log-probs of codes under `sampling`; for drawn codes, those of `sample`.

  Args:
    params: stacked variables of the given experts.
    codes_BxNxT: all codebooks.
    numbers: which experts `params` holds; all by default.
    execution: how they are run.
  """
  frames = codes_BxNxT.shape[2]
  numbers = range(config.num_experts) if numbers is None else numbers
  codes, prompt, mask = codes_BxNxT, prompt_BxPxC, prompt_mask_BxP
  if sampling.guidance is not None:
    null, null_mask = null_prompt(prompt, mask)
    codes = jnp.concatenate([codes, codes])
    prompt = jnp.concatenate([prompt, null])
    mask = jnp.concatenate([mask, null_mask])
  whole = jnp.ones((len(codes), frames), bool)
  predicted = logits(
    params, config, codes, prompt, whole, mask, numbers, execution=execution
  )
  if sampling.guidance is not None:
    with_prompt, without = jnp.split(predicted, 2)
    predicted = methods.guide(with_prompt, without, sampling.guidance)
  log_probs = methods.log_probs(predicted, sampling)
  # Codes that are never drawn have -inf and add nothing.
  terms = jnp.where(jnp.isfinite(log_probs), jnp.exp(log_probs) * log_probs, 0)
  own = config.codebooks_per_expert
  drawn = [codes_BxNxT[:, own * k : own * (k + 1)] for k in numbers]
  picked = jnp.take_along_axis(
    log_probs, jnp.concatenate(drawn, 1)[..., None], -1
  )
  return Scores(picked[..., 0], -jnp.sum(terms, -1))
