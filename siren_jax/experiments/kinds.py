"""configs/*.py and their overrides to the frozen dataclass of an experiment.

An experiment is a dataclass that says all there is to one training run; its
module also has `build(experiment, workdir) -> (task, train_data, eval_data)`.
A config file returns `config_dict(SomeExperiment(...))`: every field is there
to be overridden, and its default is written down in the dataclass alone.
"""

import dataclasses
import importlib
import logging
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import flax.linen as nn
import jax
from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections import config_dict as placeholders

from siren_jax.common import config as configs
from siren_jax.common import paths, sniff
from siren_jax.common.errors import UserError, about
from siren_jax.storage import old_settings, run_config

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Kind:
  """One kind of experiment.

  Attributes:
    module_name: module of this package that defines it.
    part: subpackage of the model, and the experiment's field with its config.
    name: class of the experiment.
    verb: command that runs it.
  """

  module_name: str
  part: str
  name: str
  verb: str

  def module(self) -> ModuleType:
    return importlib.import_module(f"siren_jax.experiments.{self.module_name}")

  def shapes(self, experiment: Any) -> Any:
    """Names, shapes and types of the model's parameters; computes nothing."""
    init = importlib.import_module(f"siren_jax.{self.part}").init
    config = getattr(experiment, self.part)
    return nn.unbox(
      jax.eval_shape(lambda key: init(key, config), jax.random.key(0))
    )


KINDS = {
  "codec": Kind("codec", "codec", "CodecExperiment", "train-codec"),
  "clap": Kind("clap", "clap", "ClapExperiment", "train-clap"),
  "stage1": Kind("stage1", "experts", "Stage1Experiment", "train"),
  "align": Kind("align", "alignment", "AlignExperiment", "align"),
}


def to_config_dict(experiment: Any) -> ConfigDict:
  """What a config file returns for `experiment`, with its kind noted."""
  return ConfigDict({"kind": kind_of(experiment), **_open(experiment)})


def to_json(experiment: Any) -> dict[str, Any]:
  """What a work directory keeps of `experiment`."""
  return {"kind": kind_of(experiment), **configs.to_dict(experiment)}


def from_mapping(values: Mapping[str, Any], source: str) -> Any:
  """The experiment that a config file or a work directory describes.

  Raises:
    UserError: no known kind, an unknown key, or a value out of its range.
  """
  values = dict(values)
  values.pop(run_config.INPUTS, None)  # A work directory keeps them.
  kind = values.pop("kind", None)
  if kind not in KINDS:
    raise UserError(f"{source}: kind={kind!r}; known kinds: {', '.join(KINDS)}")
  experiment_class = getattr(KINDS[kind].module(), KINDS[kind].name)
  with about(source):
    return configs.from_dict(experiment_class, old_settings.renamed(values))


def from_file(path: str, overrides: Sequence[str] = ()) -> Any:
  """The experiment in config file `path`, with `--config.a.b=v` applied.

  A setting under an old name is taken, with a warning that has the new one.

  Raises:
    UserError: no such file, an unknown key, or a value that does not fit.
  """
  if not paths.local(path).is_file():
    raise UserError(f"no config file {path}; the ones that ship: configs/*.py")
  if stand_in := sniff.describe(path):
    raise UserError(f"{path}: no config file ({stand_in}); get it again")
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


def kind_of(experiment: Any) -> str:
  """The kind of an experiment, by its class."""
  for name, kind in KINDS.items():
    if kind.name == type(experiment).__name__:
      return name
  raise TypeError(f"{type(experiment).__name__} is no experiment")


def _parse(path: str, overrides: Sequence[str]) -> ConfigDict:
  argv = ["siren-jax", f"--config={path}", *overrides]
  values = flags.FlagValues()  # Ours alone: absl's are one for the process.
  config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
  try:
    values(argv)
    config = values.config
  except SyntaxError as error:
    raise UserError(f"{path} line {error.lineno or 1}: {error.msg}") from error
  except (flags.Error, TypeError, ValueError) as error:
    raise UserError(f"{path}: {_gist(error)}") from error
  except MemoryError:
    raise
  except (Exception, SystemExit) as error:  # It is Python: anything may happen.
    raise UserError(
      f"{path}: {type(error).__name__} ({error}); mend the file"
    ) from error
  if not isinstance(config, ConfigDict):
    raise UserError(f"{path}: get_config() gives no ConfigDict")
  return config


def _gist(error: Exception) -> str:
  """What the config file raised, out of the page that config_flags makes."""
  text = str(error.__context__ or error).strip()
  last = text.splitlines()[-1]
  return last.partition(": ")[2] if "Traceback" in text else text


def _check_key(config: Any, flag: str) -> None:
  _, *names = flag.split(".")
  for i, name in enumerate(names):
    known = list(config) if isinstance(config, ConfigDict) else []
    if name not in known:
      full = ".".join(names[: i + 1])
      raise UserError(configs.unknown_key(full, name, known))
    config = config[name]


def _under_new_name(config: ConfigDict, override: str) -> str:
  """A flag whose setting the config has under another name by now, under it."""
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
  """As `to_dict`, but a field that is None can be overridden too."""

  def value(v: Any) -> Any:
    if dataclasses.is_dataclass(v):
      return _open(v)
    return placeholders.placeholder(object) if v is None else v

  fields = dataclasses.fields(experiment)
  return {f.name: value(getattr(experiment, f.name)) for f in fields}
