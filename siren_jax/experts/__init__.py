"""The residual experts: one per pair of codebooks, isolated, stacked."""

from siren_jax import moved
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.ensemble import init, logits, loss, null_prompt
from siren_jax.experts.execution import Execution

__all__ = [
  "Execution",
  "ExpertConfig",
  "init",
  "logits",
  "loss",
  "null_prompt",
]

__getattr__ = moved.getter(
  __name__,
  {
    # Training, which listening would wait for.
    "siren_jax.experts.task": ["Stage1Config", "Stage1Task"],
    "siren_jax.sampling": [
      "GenerateConfig",
      "SamplingConfig",
      "check_candidates",
    ],
  },
)
