"""Packages of the extras in pyproject.toml, which a light install lacks."""

import importlib
import importlib.util
from typing import Any

from siren_jax.common.errors import UserError

# Imported packages by extra. Generating sounds needs none of them.
PACKAGES = {
  "demo": ("gradio",),
  "train": ("grain", "ml_collections", "tensorflow_datasets"),
  "weights": ("transformers",),
}


def load(name: str) -> Any:
  """Imports a module of one of `PACKAGES`.

  Raises:
    UserError: it is not installed; the message says how to install it.
  """
  package = name.partition(".")[0]
  extra = next(e for e, packages in PACKAGES.items() if package in packages)
  try:
    return importlib.import_module(name)
  except ModuleNotFoundError as error:
    raise _missing(error.name or package, extra) from error


def check(extra: str) -> None:
  """Checks that the packages of an extra are installed, without importing.

  Raises:
    UserError: see `load`; raised before the work rather than after it.
  """
  for package in PACKAGES[extra]:
    try:
      spec = importlib.util.find_spec(package)
    except ModuleNotFoundError as error:
      raise _missing(package, extra) from error
    if spec is None:
      raise _missing(package, extra)


def _missing(package: str, extra: str) -> UserError:
  return UserError(
    f"{package} is not installed; pip install 'siren-jax[{extra}]'"
  )
