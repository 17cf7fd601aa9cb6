"""The kinds of experiments, and their form in a work directory.

An experiment is a dataclass with all settings of a training run; its module
also has `build(experiment, workdir) -> (task, train_data, eval_data)`.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from siren_jax.common import config as configs
from siren_jax.common.errors import UserError, about
from siren_jax.storage import components, old_settings, run_config


@dataclasses.dataclass(frozen=True)
class Kind:
  """One kind of experiment.

  Attributes:
    module_name: module of this package that defines it.
    subpackage: of the model, and the experiment's field with its config.
    name: class of the experiment.
    verb: command that runs it.
  """

  module_name: str
  subpackage: str
  name: str
  verb: str

  def module(self) -> ModuleType:
    return importlib.import_module(f"siren_jax.experiments.{self.module_name}")

  def shapes(self, experiment: Any) -> Any:
    """Names, shapes and types of the model's parameters; computes nothing."""
    init = importlib.import_module(f"siren_jax.{self.subpackage}").init
    config = getattr(experiment, self.subpackage)
    return components.shapes(init, config)


KINDS = {
  "codec": Kind("codec", "codec", "CodecExperiment", "train-codec"),
  "clap": Kind("clap", "clap", "ClapExperiment", "train-clap"),
  "stage1": Kind("stage1", "experts", "Stage1Experiment", "train"),
  "align": Kind("align", "alignment", "AlignExperiment", "align"),
}


def to_json(experiment: Any) -> dict[str, Any]:
  """An experiment as saved in a work directory."""
  return {"kind": kind_of(experiment), **configs.to_dict(experiment)}


def from_mapping(values: Mapping[str, Any], source: str) -> Any:
  """The experiment that a config file or a work directory describes.

  Raises:
    UserError: an unknown kind or key, or a value out of range.
  """
  values = dict(values)
  values.pop(run_config.INPUTS, None)  # A work directory keeps them.
  kind = values.pop("kind", None)
  if kind not in KINDS:
    raise UserError(f"{source}: kind={kind!r}; known kinds: {', '.join(KINDS)}")
  experiment_class = getattr(KINDS[kind].module(), KINDS[kind].name)
  with about(source):
    return configs.from_dict(experiment_class, old_settings.renamed(values))


def kind_of(experiment: Any) -> str:
  """The kind of an experiment, by its class."""
  for name, kind in KINDS.items():
    if kind.name == type(experiment).__name__:
      return name
  raise TypeError(f"{type(experiment).__name__} is not an experiment")
