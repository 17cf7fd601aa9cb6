"""Settings that older versions saved under another name, or not at all.

Bundles, work directories, config files and `--config` flags are read with old
and new names, and written with new ones.
"""

from collections.abc import Mapping
from typing import Any

# Settings of `Execution` that were part of `ExpertConfig`.
_EXECUTION = ("dtype", "scan_layers", "remat", "expert_loop")
NEW_NAMES = {f"experts.{name}": f"execution.{name}" for name in _EXECUTION}

# Settings added later to sections with the given setting, and the values with
# which an older run resumes unchanged.
_LATER: dict[tuple[str, str], dict[str, Any]] = {
  ("codec", "bands"): {"voices": 0, "beam": 1},
  ("loss", "swing"): {"loudness": 0.0, "pitch": 0.3, "lines": 0.3},
  ("loss", "lock_text"): {"clip_classes": 0.0},
  ("clap.audio", "patch"): {
    "statistics": 0,
    "statistics_layers": 3,
    "dropout": 0.0,
  },
  ("train", "eval_batches"): {"samples": 2},
  ("data.augment", "mix_db"): {"equalizer_db": 0.0},
}


def old_names(settings: Mapping[str, Any]) -> list[str]:
  """The old names in `NEW_NAMES` that a config contains."""
  experts = settings.get("experts")
  given = experts if isinstance(experts, Mapping) else {}
  return [f"experts.{name}" for name in _EXECUTION if name in given]


def renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
  """A config with every setting under its current name."""
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
  """A run's config with settings added in later versions."""
  settings = dict(settings)
  for (part, other), later in _LATER.items():
    _complete(settings, part.split("."), other, later)
  return settings


def _complete(
  settings: dict[str, Any],
  path: list[str],
  other: str,
  later: Mapping[str, Any],
) -> None:
  """Adds `later` to the section at `path`, if it has the setting `other`."""
  values = settings.get(path[0])
  if not isinstance(values, Mapping):
    return
  settings[path[0]] = values = dict(values)
  if path[1:]:
    _complete(values, path[1:], other, later)
  elif other in values:
    settings[path[0]] = dict(later) | values
