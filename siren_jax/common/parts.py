"""One trained part (codec, clap, experts) out of whatever folder holds it."""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from siren_jax.common import config as configs
from siren_jax.common import files, tensors
from siren_jax.common.errors import UserError

Config = TypeVar("Config")


def load(
  folder: str | os.PathLike,
  part: str,
  config_class: type[Config],
  init: Callable[[jax.Array, Config], Any],
) -> tuple[Config, Any]:
  """Config and parameters of `part`.

  Args:
    folder: a bundle, or the work directory that a training verb wrote.
    part: section of the config and name of the safetensors file.
    config_class: dataclass of that section.
    init: makes random parameters; only their shapes are used.

  Raises:
    UserError: nothing there, or a tensor that does not fit the config.
  """
  folder = pathlib.Path(folder)
  trained = (folder / "checkpoints").is_dir()
  settings = read_json(folder / "config.json")
  if not isinstance(settings, dict) or part not in settings:
    raise UserError(
      f"{folder} holds no {part}: its config.json has no {part!r}"
    )
  config = configs.from_dict(config_class, settings[part], f"{part}.")
  if trained:
    from siren_jax.common import checkpoint  # Orbax takes a second to import.

    return config, checkpoint.restore_params(folder)[1]
  shapes = jax.eval_shape(lambda key: init(key, config), jax.random.key(0))
  return config, tensors.load(folder / f"{part}.safetensors", shapes)


def save(
  folder: str | os.PathLike, part: str, config: Any, params: Any
) -> None:
  """Writes config.json and `part`.safetensors, which `load` reads."""
  folder = pathlib.Path(folder)
  tensors.save(folder / f"{part}.safetensors", params)
  text = json.dumps({part: configs.to_dict(config)}, indent=2) + "\n"
  with files.replacing(folder / "config.json") as file:
    file.write(text.encode())


def read_json(path: pathlib.Path) -> Any:
  """A JSON file's content.

  Raises:
    UserError: it is missing or is not JSON.
  """
  try:
    return json.loads(path.read_text())
  except FileNotFoundError as error:
    raise UserError(
      f"{path} is missing; give a bundle or a work directory of training"
    ) from error
  except (OSError, ValueError) as error:
    raise UserError(f"{path} is not readable as JSON ({error})") from error
