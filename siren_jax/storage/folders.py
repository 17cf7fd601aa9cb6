"""One trained part (codec, clap, experts) out of whatever folder holds it."""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from siren_jax.common import config as configs
from siren_jax.common import files, paths
from siren_jax.common.errors import UserError, about
from siren_jax.storage import old_settings, tensors

Config = TypeVar("Config")


# Bundles that ship, each a folder.
SHIPPED = pathlib.Path(__file__).parents[1] / "bundles"
_REMEDY = "give a bundle or a work directory of training"


def find(
  name_or_path: str | os.PathLike, shipped: pathlib.Path = SHIPPED
) -> pathlib.Path:
  """A folder of this machine, or else the bundle of that name that ships.

  Raises:
    UserError: there is neither; the message lists the names that ship.
  """
  if os.fspath(name_or_path):  # No name is no folder, also not this one.
    path = paths.local(name_or_path)
    for folder in (path, shipped / path):
      if folder.is_dir():
        return folder
  names = sorted(p.name for p in shipped.glob("*") if p.is_dir())
  raise UserError(
    f"no model {str(name_or_path)!r}: neither a folder nor one that ships"
    f" ({', '.join(names) or 'none'}); {_REMEDY}"
  )


def load(
  name_or_path: str | os.PathLike,
  part: str,
  config_class: type[Config],
  init: Callable[[jax.Array, Config], Any],
) -> tuple[Config, Any]:
  """Config and parameters of `part`.

  Args:
    name_or_path: a bundle, see `find`; or the work directory that a training
      verb wrote.
    part: section of the config and name of the safetensors file.
    config_class: dataclass of that section.
    init: makes random parameters; only their shapes are used.

  Raises:
    UserError: nothing there, a setting out of its range, or a tensor that does
      not fit the config or is not finite.
  """
  folder = find(name_or_path)
  if (folder / "checkpoints").is_dir():
    from siren_jax.storage import checkpoint  # Orbax takes a second to import.

    settings, params, _ = checkpoint.restore_params(folder)
    return _config(folder / "checkpoints", settings, part, config_class), params
  path = folder / "config.json"
  settings = files.read_json(path, _REMEDY)
  config = _config(path, settings, part, config_class)
  shapes = _shapes(path, part, config, init)
  return config, tensors.load(folder / f"{part}.safetensors", shapes)


def _config(
  path: pathlib.Path, settings: Any, part: str, config_class: type[Config]
) -> Config:
  if not isinstance(settings, dict) or part not in settings:
    raise UserError(f"{path.parent} holds no {part}: {path} has no {part!r}")
  with about(path):
    section = old_settings.renamed(settings)[part]
    return configs.from_dict(config_class, section, f"{part}.")


def _shapes(
  path: pathlib.Path,
  part: str,
  config: Config,
  init: Callable[[jax.Array, Config], Any],
) -> Any:
  try:
    return jax.eval_shape(lambda key: init(key, config), jax.random.key(0))
  except MemoryError:
    raise
  except Exception as error:  # JAX, Flax and NumPy raise what they like.
    raise UserError(
      f"{path}: no {part} has such sizes ({error!r:.200});"
      f" {tensors.SAME_EXPORT}"
    ) from error


def save(
  folder: str | os.PathLike, part: str, config: Any, params: Any
) -> None:
  """Writes config.json and `part`.safetensors, which `load` reads."""
  folder = paths.local(folder)
  tensors.save(folder / f"{part}.safetensors", params)
  text = json.dumps({part: configs.to_dict(config)}, indent=2) + "\n"
  with files.replacing(folder / "config.json") as file:
    file.write(text.encode())
