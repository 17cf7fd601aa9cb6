"""The residual experts: one per pair of codebooks, isolated, stacked."""

from siren_jax import moved
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.ensemble import init, logits, loss, null_prompt
from siren_jax.experts.execution import Execution
from siren_jax.experts.task import Stage1Config, Stage1Task

__all__ = [
  "Execution",
  "ExpertConfig",
  "Stage1Config",
  "Stage1Task",
  "init",
  "logits",
  "loss",
  "null_prompt",
]

__getattr__ = moved.getter(
  __name__,
  {
    "siren_jax.sampling": [
      "GenerateConfig",
      "SamplingConfig",
      "check_candidates",
    ]
  },
)
