"""Deprecated; use `siren_jax.experiments.stage1`."""

from siren_jax import moved

__getattr__ = moved.getter(
  __name__,
  {
    "siren_jax.experiments.stage1": [
      "Stage1DataConfig",
      "Stage1Experiment",
      "build",
      "check_tables",
      "start_of",
      "task_of",
    ]
  },
)
