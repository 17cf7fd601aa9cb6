"""Deprecated; use `siren_jax.experiments.clap`."""

from siren_jax import moved

__getattr__ = moved.getter(
  __name__,
  {
    "siren_jax.experiments.clap": [
      "Batches",
      "ClapDataConfig",
      "ClapExperiment",
      "Labels",
      "build",
    ]
  },
)
