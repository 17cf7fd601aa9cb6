"""Bundles from trained experts with their codec and CLAP."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from siren_jax import clap, codec, experts
from siren_jax.common import config as configs
from siren_jax.common.errors import UserError, about
from siren_jax.data.sets import index
from siren_jax.sampling import GenerateConfig
from siren_jax.storage import components, folders, old_settings, run_config
from siren_jax.storage.fingerprint import short
from siren_jax.storage.folders import Folder, FolderKind
from siren_jax.weights import repertoire as repertoires
from siren_jax.weights.bundle import (
  Bundle,
  check_components,
  generate_config,
  init_experts,
  read_config,
  read_execution,
)
from siren_jax.weights.repertoire import Repertoire

_log = logging.getLogger(__name__)


class Place(NamedTuple):
  """Location of a codec or CLAP.

  Attributes:
    path: a folder, or the name of a built-in bundle.
    setting: for a run, the setting of its config that names the path.
  """

  path: str
  setting: str | None = None


@dataclasses.dataclass(frozen=True)
class TrainedExperts:
  """Experts, and what belongs to them.

  Attributes:
    config, params: the stacked experts.
    execution: how they were run in training.
    generate: default settings of `generate`.
    codec, clap: those that made their training codes and prompts.
    repertoire: what they were trained on, embedded by `clap`; None: unknown.
  """

  config: experts.ExpertConfig
  params: Any
  execution: experts.Execution
  generate: GenerateConfig
  codec: Place
  clap: Place
  repertoire: Repertoire | None = None


def assemble(
  folder: str | os.PathLike,
  name: str,
  codec_folder: str | os.PathLike | None = None,
  clap_folder: str | os.PathLike | None = None,
  **settings: Any,
) -> Bundle:
  """Makes a bundle from experts with their codec and CLAP.

  Args:
    folder: of experts, see `load_experts`.
    codec_folder, clap_folder: replacements for those of the run or the bundle.
    **settings: fields of `Bundle` that override those of the run or the bundle.

  Raises:
    UserError: experts, codec or CLAP are missing, were replaced since the run,
      or do not fit each other.
  """
  trained = load_experts(folder)
  sources = [] if codec_folder else [trained.codec]
  sources += [] if clap_folder else [trained.clap]
  _check_unchanged(folders.find(folder), sources)
  generate = {
    f.name: getattr(trained.generate, f.name)
    for f in dataclasses.fields(trained.generate)
  }
  model = Bundle(
    name=name,
    codec=codec.load(codec_folder or trained.codec.path),
    clap=clap.load(clap_folder or trained.clap.path),
    config=trained.config,
    params=trained.params,
    execution=trained.execution,
    repertoire=None if clap_folder else trained.repertoire,
    **(generate | settings),
  )
  check_components(model)
  return model


def load_experts(name_or_path: str | os.PathLike) -> TrainedExperts:
  """Loads experts from any folder that contains them.

  Args:
    name_or_path: a work directory of `siren-jax train`, a bundle, or the output
      of `siren-jax import-weights`.

  Raises:
    UserError: there are none.
  """
  folder = folders.identify(name_or_path)
  if folder.kind is FolderKind.WORKDIR:
    return _of_run(folder)
  config, params = components.load(
    folder.path, "experts", experts.ExpertConfig, init_experts
  )
  generate, execution = GenerateConfig(), experts.Execution()
  if folder.kind is FolderKind.BUNDLE:
    generate = generate_config(folder)
    execution = read_execution(folder, read_config(folder))
  own = Place(str(folder.path))
  return TrainedExperts(
    config, params, execution, generate, own, own,
    repertoire=repertoires.load(folder.path),
  )  # fmt: skip


def _of_run(folder: Folder) -> TrainedExperts:
  # Imports Orbax, which takes a second and is not needed for bundles.
  from siren_jax.storage import checkpoint

  saved, params, extra = checkpoint.restore_params(folder.path)
  values = old_settings.renamed(saved)
  if values.get("kind") != "stage1":
    raise folder.refusal(
      "experts", "give a work directory of siren-jax train, or a bundle"
    )
  config = components.read_config(
    folder, values, "experts", experts.ExpertConfig
  )
  with about(folder.path):
    generate = configs.from_dict(
      GenerateConfig, values.get("generate", {}), "generate."
    )
  data = values.get("data", {})
  codes = Place(data.get("path", ""), "data.path")
  return TrainedExperts(
    config,
    {"params": params, **extra},
    read_execution(folder, values),
    generate,
    codec=Place(data["codec"], "data.codec") if data.get("codec") else codes,
    clap=codes,
  )


def _check_unchanged(workdir: Path, sources: Sequence[Place]) -> None:
  """Checks that the codec and CLAP of the run were not replaced.

  Raises:
    UserError: the one that made the codes or prompts is no longer at its path.
  """
  used = {s.setting: s.path for s in sources if s.setting}
  inputs = (
    run_config.recorded(workdir).get(run_config.INPUTS, {}) if used else {}
  )
  for setting, path in used.items():
    # A code set has no name, a codec may have one.
    where = folders.find(path) if setting == "data.codec" else path
    if setting not in inputs:
      _log.warning(
        "%s kept no fingerprint of %s: it is not known whether its codec and"
        " CLAP are still those of the run", workdir, where,
      )  # fmt: skip
      continue
    now = index.fingerprint(where)
    if now != inputs[setting]:
      raise UserError(
        f"{where} has changed ({short(now)}) since {workdir} was trained with"
        f" it ({short(inputs[setting])}); set --codec and --clap to those that"
        " made the codes of the run"
      )
