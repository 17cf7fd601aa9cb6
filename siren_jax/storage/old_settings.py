"""Settings that were once saved under another name, or not yet at all.

Bundles, work directories, config files and `--config` flags are read under
both names, and written under the new one.
"""

from collections.abc import Mapping
from typing import Any

# How experts are run was part of what they are.
_EXECUTION = ("dtype", "scan_layers", "remat", "expert_loop")
NEW_NAMES = {f"experts.{name}": f"execution.{name}" for name in _EXECUTION}

# Settings that came later, in a part that has the other setting: the values
# by which a run goes on as it was begun.
_LATER: dict[tuple[str, str], dict[str, Any]] = {
  ("codec", "bands"): {"voices": 0, "beam": 1},
  ("loss", "swing"): {"loudness": 0.0, "pitch": 0.3, "lines": 0.3},
  ("loss", "lock_text"): {"clip_classes": 0.0},
  ("train", "eval_batches"): {"samples": 2},
}


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


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
  """A run's config with the settings that came later."""
  settings = dict(settings)
  for (part, other), later in _LATER.items():
    values = settings.get(part)
    if isinstance(values, Mapping) and other in values:
      settings[part] = later | dict(values)
  return settings
