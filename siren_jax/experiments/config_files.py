"""configs/*.py and their overrides to experiments: interface to ml_collections.

A config file returns `to_config_dict(SomeExperiment(...))`: every field can be
overridden, and defaults are defined only in the dataclass.
"""

import dataclasses
import logging
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from siren_jax.common import config as configs
from siren_jax.common import extras, paths, sniff
from siren_jax.common.errors import UserError
from siren_jax.experiments.kinds import from_mapping, kind_of
from siren_jax.storage import old_settings

if TYPE_CHECKING:
  from ml_collections import ConfigDict

SHIPPED = pathlib.Path(__file__).parents[1] / "configs"

_log = logging.getLogger(__name__)


def shipped() -> dict[str, str]:
  """Paths of the built-in config files, by name."""
  return {file.stem: str(file) for file in sorted(SHIPPED.glob("*.py"))}


def to_config_dict(experiment: Any) -> "ConfigDict":
  """What a config file returns for `experiment`, with its kind noted."""
  config_dict = extras.load("ml_collections.config_dict")
  return config_dict.ConfigDict(
    {"kind": kind_of(experiment), **_open(experiment)}
  )


def from_file(path: str, overrides: Sequence[str] = ()) -> Any:
  """The experiment in a config file, with `--config.a.b=v` applied.

  Old names of settings are accepted, with a warning that has the new name.

  Args:
    path: of the file, or the name of a built-in one, such as "nano".

  Raises:
    UserError: no such file, an unknown key, or a value that does not fit.
  """
  path = _find(path)
  if stand_in := sniff.describe(path):
    raise UserError(f"{path}: not a config file ({stand_in}); get it again")
  config = _parse(path, [])
  overrides = [
    _under_new_name(config, override) if override.startswith("--") else override
    for override in overrides
  ]
  for override in overrides:
    if override.startswith("--"):
      _check_key(config, override.removeprefix("--").partition("=")[0])
  values = _parse(path, overrides).to_dict()
  for name in old_settings.old_names(values):
    _warn_of_old_name(name)
  return from_mapping(values, path)


def _find(path: str) -> str:
  """Path of a config file: `path` itself, or a built-in one of this name.

  Raises:
    UserError: neither exists.
  """
  if paths.local(path).is_file():
    return path
  known = shipped()
  if path not in known:
    raise UserError(
      f"no config file {path}; give a path, or the name of a built-in one:"
      f" {', '.join(known)}"
    )
  return known[path]


def _parse(path: str, overrides: Sequence[str]) -> "ConfigDict":
  config_flags = extras.load("ml_collections.config_flags")
  argv = ["siren-jax", f"--config={path}", *overrides]
  values = flags.FlagValues()  # not absl's global flags
  config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
  try:
    values(argv)
    config = values.config
  except SyntaxError as error:
    raise UserError(f"{path} line {error.lineno or 1}: {error.msg}") from error
  except (flags.Error, TypeError, ValueError) as error:
    raise UserError(f"{path}: {_reason(error)}") from error
  except MemoryError:
    raise
  except (Exception, SystemExit) as error:  # Python code may raise anything.
    raise UserError(
      f"{path}: {type(error).__name__} ({error}); fix the file"
    ) from error
  if not _is_config_dict(config):
    raise UserError(f"{path}: get_config() must return a ConfigDict")
  return config


def _is_config_dict(value: Any) -> bool:
  return isinstance(value, extras.load("ml_collections").ConfigDict)


def _reason(error: Exception) -> str:
  """The config file's own error, extracted from that of config_flags."""
  text = str(error.__context__ or error).strip()
  last = text.splitlines()[-1]
  return last.partition(": ")[2] if "Traceback" in text else text


def _check_key(config: Any, flag: str) -> None:
  _, *names = flag.split(".")
  for i, name in enumerate(names):
    known = list(config) if _is_config_dict(config) else []
    if name not in known:
      full = ".".join(names[: i + 1])
      raise UserError(configs.unknown_key(full, name, known))
    config = config[name]


def _under_new_name(config: "ConfigDict", override: str) -> str:
  """A flag with the old name of its setting replaced by the current one."""
  flag, equals, value = override.partition("=")
  prefix, _, name = flag.partition(".")
  section, _, setting = name.partition(".")
  new = old_settings.NEW_NAMES.get(name)
  if not new or section not in config or setting in config[section]:
    return override
  _warn_of_old_name(name)
  return f"{prefix}.{new}{equals}{value}"


def _warn_of_old_name(name: str) -> None:
  _log.warning(
    "config %s is now %s; use the new name", name, old_settings.NEW_NAMES[name]
  )


def _open(experiment: Any) -> dict[str, Any]:
  """Like `to_dict`, but fields that are None can be overridden too."""

  def value(v: Any) -> Any:
    if dataclasses.is_dataclass(v):
      return _open(v)
    return placeholder(object) if v is None else v

  placeholder = extras.load("ml_collections.config_dict").placeholder
  fields = dataclasses.fields(experiment)
  return {f.name: value(getattr(experiment, f.name)) for f in fields}
