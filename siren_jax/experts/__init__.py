"""The residual experts: one per pair of codebooks, isolated, stacked."""

from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.drawing import (
  GenerateConfig,
  SamplingConfig,
  check_candidates,
)
from siren_jax.experts.ensemble import init, logits, loss, null_prompt
from siren_jax.experts.execution import Execution
from siren_jax.experts.task import Stage1Config, Stage1Task

__all__ = [
  "Execution",
  "ExpertConfig",
  "GenerateConfig",
  "SamplingConfig",
  "Stage1Config",
  "Stage1Task",
  "check_candidates",
  "init",
  "logits",
  "loss",
  "null_prompt",
]
