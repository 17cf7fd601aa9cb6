"""Moved names: the old ones still work, with a warning."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any


def getter(module: str, homes: dict[str, list[str]]) -> Callable[[str], Any]:
  """`__getattr__` of a module whose names have moved (PEP 562).

  Target modules are imported on access, since they may lie in a higher layer.

  Args:
    module: its `__name__`.
    homes: the moved names, by the module that has them now.
  """
  home_of = {name: home for home, names in homes.items() for name in names}

  def get(name: str) -> Any:
    if name not in home_of:
      raise AttributeError(f"module {module!r} has no attribute {name!r}")
    home = home_of[name]
    warnings.warn(
      f"{module}.{name} is {home}.{name} now", DeprecationWarning, stacklevel=2
    )
    return getattr(importlib.import_module(home), name)

  return get
