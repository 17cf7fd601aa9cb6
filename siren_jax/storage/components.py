"""One trained component (codec, CLAP, experts, a scorer) on disk.

`load` reads it from any folder that contains it; `save` writes it by itself.
"""

import functools
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import flax.linen as nn
import jax

from siren_jax.common import config as configs
from siren_jax.common import files, paths
from siren_jax.common.errors import UserError, about
from siren_jax.storage import folders, old_settings, tensors, traced
from siren_jax.storage.folders import Folder, FolderKind

Config = TypeVar("Config")


def load(
  name_or_path: str | os.PathLike,
  component: str,
  config_class: type[Config],
  init: Callable[[jax.Array, Config], Any],
) -> tuple[Config, Any]:
  """Config and parameters of `component`.

  Args:
    name_or_path: any folder with it, see `folders.find`: a bundle, an imported
      model, a code set, or the work directory of a training command.
    component: section of the config and name of the safetensors file.
    config_class: dataclass of that section.
    init: makes random parameters, boxed or not; only their shapes are used.

  Raises:
    UserError: it is missing, a setting is out of range, or a tensor does not
      fit the config or is not finite.
  """
  folder = folders.identify(name_or_path)
  if folder.kind is FolderKind.WORKDIR:
    from siren_jax.storage import checkpoint  # imports Orbax, a second

    settings, params, _ = checkpoint.restore_params(folder.path)
    return read_config(folder, settings, component, config_class), params
  settings = {} if folder.kind is FolderKind.AUDIO_SET else folder.settings
  config = read_config(folder, settings, component, config_class)
  try:
    abstract = shapes(init, config)
  except MemoryError:
    raise
  except Exception as error:  # JAX, Flax and NumPy raise many kinds.
    raise UserError(
      f"{folder.path / folders.CONFIG}: invalid sizes for {component}"
      f" ({error!r:.200}); {tensors.SAME_EXPORT}"
    ) from error
  file = folder.path / f"{component}.safetensors"
  return config, tensors.load(file, abstract)


@functools.lru_cache
def shapes(init: Callable[[jax.Array, Config], Any], config: Config) -> Any:
  """Names, shapes and types of the parameters of `init`; computes nothing.

  Cached, because tracing takes a second: pass the same function for the same
  model.
  """

  def trace() -> Any:
    key = jax.eval_shape(jax.random.key, 0)
    return nn.unbox(jax.eval_shape(lambda key: init(key, config), key))

  what = [init.__module__, init.__qualname__, type(config).__name__]
  return traced.kept(trace, *what, configs.to_dict(config))


def read_config(
  folder: Folder,
  settings: Mapping[str, Any],
  component: str,
  config_class: type[Config],
) -> Config:
  """Config of `component` from the settings of `folder`.

  Raises:
    UserError: it has no such section, or a setting is out of range.
  """
  is_workdir = folder.kind is FolderKind.WORKDIR
  where = folder.path / (folders.CHECKPOINTS if is_workdir else folders.CONFIG)
  if component not in settings:
    raise UserError(
      f"{folder.path} holds no {component}: it is {folder.description}, and"
      f" {where} has no {component!r}; {folders.REMEDY}"
    )
  with about(where):
    section = old_settings.renamed(settings)[component]
    return configs.from_dict(config_class, section, f"{component}.")


def save(
  folder: str | os.PathLike, component: str, config: Any, params: Any
) -> None:
  """Writes config.json and `component`.safetensors, which `load` reads."""
  folder = paths.local(folder)
  tensors.save(folder / f"{component}.safetensors", params)
  text = json.dumps({component: configs.to_dict(config)}, indent=2) + "\n"
  with files.replacing(folder / folders.CONFIG) as file:
    file.write(text.encode())
