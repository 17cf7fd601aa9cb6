"""Deprecated: config files import `siren_jax.experiments.config_files`."""

import importlib
import warnings
from typing import Any

_HOMES = {
  "from_file": "config_files",
  "to_config_dict": "config_files",
  "KINDS": "kinds",
  "Kind": "kinds",
  "from_mapping": "kinds",
  "kind_of": "kinds",
  "to_json": "kinds",
}


def __getattr__(name: str) -> Any:
  if name not in _HOMES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  home = f"siren_jax.experiments.{_HOMES[name]}"
  warnings.warn(
    f"{__name__}.{name} is deprecated; import it from {home}",
    DeprecationWarning,
    stacklevel=2,
  )
  return getattr(importlib.import_module(home), name)
