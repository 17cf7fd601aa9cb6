"""Settings that are kept under another name than they were once saved under.

Bundles, work directories, config files and `--config` flags are read under
both names, and written under the new one.
"""

from collections.abc import Mapping
from typing import Any

# How experts are run was part of what they are.
_EXECUTION = ("dtype", "scan_layers", "remat", "expert_loop")
NEW_NAMES = {f"experts.{name}": f"execution.{name}" for name in _EXECUTION}


def old_names(settings: Mapping[str, Any]) -> list[str]:
  """Those of `NEW_NAMES` that a config has."""
  experts = settings.get("experts")
  given = experts if isinstance(experts, Mapping) else {}
  return [f"experts.{name}" for name in _EXECUTION if name in given]


def renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
  """A config with every setting under the name that it has now."""
  settings = dict(settings)
  execution = settings.get("execution", {})
  if old_names(settings) and isinstance(execution, Mapping):
    experts = dict(settings["experts"])
    settings["execution"] = dict(execution) | {
      name: experts.pop(name) for name in _EXECUTION if name in experts
    }
    settings["experts"] = experts
  return settings
