"""Deprecated; use `siren_jax.experiments.config_files` and `kinds`."""

from siren_jax import moved

__getattr__ = moved.getter(
  __name__,
  {
    "siren_jax.experiments.config_files": ["from_file", "to_config_dict"],
    "siren_jax.experiments.kinds": [
      "KINDS",
      "Kind",
      "from_mapping",
      "kind_of",
      "to_json",
    ],
  },
)
