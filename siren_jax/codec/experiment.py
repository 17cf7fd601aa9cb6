"""Deprecated; use `siren_jax.experiments.codec`."""

from siren_jax import moved

__getattr__ = moved.getter(
  __name__,
  {
    "siren_jax.experiments.codec": [
      "CodecDataConfig",
      "CodecExperiment",
      "build",
      "start_of",
    ]
  },
)
