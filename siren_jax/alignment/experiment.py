"""Deprecated; use `siren_jax.experiments.align`."""

from siren_jax import moved

__getattr__ = moved.getter(
  __name__,
  {
    "siren_jax.experiments.align": [
      "AlignDataConfig",
      "AlignExperiment",
      "build",
    ]
  },
)
