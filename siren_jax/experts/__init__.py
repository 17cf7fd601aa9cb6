"""The residual experts: one per pair of codebooks, isolated, stacked."""

import importlib
import warnings
from typing import Any

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

_MOVED = ("GenerateConfig", "SamplingConfig", "check_candidates")


def __getattr__(name: str) -> Any:
  if name not in _MOVED:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  home = "siren_jax.sampling"  # A layer above: it is imported only if asked.
  warnings.warn(
    f"siren_jax.experts.{name} is {home}.{name} now",
    DeprecationWarning,
    stacklevel=2,
  )
  return getattr(importlib.import_module(home), name)
