"""Release bundles: one folder that holds everything `generate` needs.

config.json           {"format": 1, "name", "max_seconds", "candidates",
                       "codec", "clap", "experts", "sampling"}
codec.safetensors     parameters by path ('/' between names), float16
clap.safetensors      likewise
experts.safetensors   likewise, the experts stacked on the leading axis
tokenizer.json        the text tower's BPE
README.md             model card
"""

import dataclasses
import json
import logging
import os
import pathlib
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np

from siren_jax import clap, codec, experts, sampling
from siren_jax.common import config as configs
from siren_jax.common import files, paths, text
from siren_jax.common.errors import UserError, about
from siren_jax.storage import folders, old_settings, run_config, tensors
from siren_jax.storage.fingerprint import short

_log = logging.getLogger(__name__)

FORMAT = 1
SHIPPED = folders.SHIPPED
DEFAULT = "nano-aligned"
_KEYS = (
  "name",
  "max_seconds",
  "candidates",
  "codec",
  "clap",
  "experts",
  "sampling",
)


@dataclasses.dataclass(frozen=True)
class Bundle:
  """Everything that turns words into sound.

  Attributes:
    name: what the bundle calls itself.
    codec, clap: the codec and the text tower, with their parameters.
    config, params: the stacked experts.
    sampling: the default settings of `generate`.
    execution: how the experts are run. It is not saved; bundles of before,
      which kept it, are run as they say.
    max_seconds: the longest clip the experts were trained to make.
    candidates: drawn for each sound by default; the one that CLAP finds
      nearest to the prompt is kept.
  """

  name: str
  codec: codec.Codec
  clap: clap.Clap
  config: experts.ExpertConfig
  params: Any
  sampling: sampling.SamplingConfig
  max_seconds: float = 30.0
  candidates: int = 1
  execution: experts.Execution = experts.Execution()

  def __post_init__(self):
    sampling.GenerateConfig(self.sampling, self.candidates, self.max_seconds)

  @property
  def models(self) -> sampling.Models:
    """The configs of all parts."""
    return sampling.Models(
      self.clap.config, self.config, self.codec.config, self.execution
    )

  @property
  def all_params(self) -> dict[str, Any]:
    """The parameters of all parts, by the names in `models`."""
    return {
      "clap": self.clap.params,
      "experts": self.params,
      "codec": self.codec.params,
    }


def find(name_or_path: str | os.PathLike | None) -> pathlib.Path:
  """The folder of a bundle: a path, or a name; None: of the default one.

  Raises:
    UserError: there is none; the message lists the names that ship.
  """
  return folders.find(name_or_path or DEFAULT, SHIPPED)


def load(name_or_path: str | os.PathLike | None = None) -> Bundle:
  """Reads a bundle, checking every tensor against its config.

  Raises:
    UserError: a file or tensor is missing, broken or of another shape (the
      message names it), or a part is of another bundle.
  """
  folder = find(name_or_path)
  settings = read_config(folder)
  generate = _generate_config(folder, settings)
  config, params = folders.load(
    folder, "experts", experts.ExpertConfig, init_experts
  )
  model = Bundle(
    name=settings["name"],
    codec=codec.load(folder),
    clap=clap.load(folder),
    config=config,
    params=params,
    execution=_execution(folder, settings),
    **_fields(generate),
  )
  with about(folder):
    check_parts(model)
  return model


def _generate_config(
  folder: pathlib.Path, settings: dict[str, Any]
) -> sampling.GenerateConfig:
  """What a bundle's config.json says of `generate`."""
  names = [f.name for f in dataclasses.fields(sampling.GenerateConfig)]
  with about(folder / "config.json"):
    return configs.from_dict(
      sampling.GenerateConfig, {name: settings[name] for name in names}
    )


def _execution(
  folder: pathlib.Path, settings: dict[str, Any]
) -> experts.Execution:
  """How experts are run, of a bundle that says so: none made since does."""
  with about(folder / "config.json"):
    return configs.from_dict(
      experts.Execution, settings.get("execution", {}), "execution."
    )


def _fields(config: Any) -> dict[str, Any]:
  """A dataclass as keywords: its fields as they are."""
  names = [f.name for f in dataclasses.fields(config)]
  return {name: getattr(config, name) for name in names}


def assemble(
  folder: str | os.PathLike,
  name: str,
  codec_folder: str | os.PathLike | None = None,
  clap_folder: str | os.PathLike | None = None,
  **settings: Any,
) -> Bundle:
  """Experts, made a bundle with the codec and CLAP that they go with.

  Args:
    folder: of experts, see `load_experts`.
    codec_folder, clap_folder: other than what made the codes of the run, or
      than those of the bundle.
    **settings: other fields of `Bundle` than the run or the bundle says.

  Raises:
    UserError: no experts, codec or CLAP, other ones at their path than the run
      had, or parts that do not fit each other.
  """
  run, params = load_experts(folder)
  workdir = folders.find(folder)
  if (workdir / "checkpoints").is_dir():
    _check_unchanged(workdir, run.data, codec_folder, clap_folder)
  model = Bundle(
    name=name,
    codec=codec.load(codec_folder or run.data.codec or run.data.path),
    clap=clap.load(clap_folder or run.data.path),
    config=run.experts,
    params=params,
    execution=run.execution,
    **(_fields(run.generate) | settings),
  )
  check_parts(model)
  return model


def _check_unchanged(
  workdir: pathlib.Path,
  data: Any,
  codec_folder: str | os.PathLike | None,
  clap_folder: str | os.PathLike | None,
) -> None:
  """Refuses a codec or CLAP that took the place of those of the run.

  Raises:
    UserError: what made the codes or prompts is not at its path any more.
  """
  from siren_jax.data.sets import store

  used = {}
  if not clap_folder or not (codec_folder or data.codec):
    used["data.path"] = data.path
  if data.codec and not codec_folder:
    used["data.codec"] = find(data.codec)
  known = (
    run_config.recorded(workdir).get(run_config.INPUTS, {}) if used else {}
  )
  for name, path in used.items():
    if name not in known:
      _log.warning(
        "%s kept no fingerprint of %s: whether its codec and CLAP are still"
        " those of the run is not known", workdir, path,
      )  # fmt: skip
      continue
    now = store.fingerprint(path)
    if now != known[name]:
      raise UserError(
        f"{path} holds something else ({short(now)}) than when {workdir} was"
        f" trained with it ({short(known[name])}); give --codec and --clap what"
        " made the codes of the run"
      )


def is_bundle(folder: str | os.PathLike) -> bool:
  """Whether a folder holds all parts and their settings."""
  path = paths.local(folder) / "config.json"
  return path.is_file() and "format" in _read_settings(path)


def notes(folder: str | os.PathLike) -> str | None:
  """What a bundle's card says of data and licences: all but its head.

  Raises:
    UserError: the card is not text, or something else in its place.
  """
  path = pathlib.Path(folder) / "README.md"
  if not path.is_file() or not path.stat().st_size:
    return None
  card = "\n".join(text.lines(text.read_text(path)))
  _, heading, rest = card.partition("\n## ")
  return heading.strip() + " " + rest if rest else None


def load_experts(folder: str | os.PathLike) -> tuple[Any, Any]:
  """The `Stage1Experiment` that made experts, and their variables.

  Of a bundle, whose run is not known, it has the sizes and what `generate`
  does by default; its data is the bundle itself.

  Args:
    folder: a work directory of `siren-jax train`, a bundle, or what
      `siren-jax import-weights` made.

  Raises:
    UserError: there are none.
  """
  # Both take a second to import, which `load` has no use for.
  from siren_jax.experiments.stage1 import Stage1DataConfig, Stage1Experiment
  from siren_jax.storage import checkpoint

  folder = folders.find(folder)
  if not (folder / "checkpoints").is_dir():
    config, params = folders.load(
      folder, "experts", experts.ExpertConfig, init_experts
    )
    generate = sampling.GenerateConfig()
    if is_bundle(folder):
      generate = _generate_config(folder, read_config(folder))
    data = Stage1DataConfig(path=str(folder))
    return Stage1Experiment(
      experts=config, data=data, generate=generate
    ), params
  values, params, extra = checkpoint.restore_params(folder)
  if values.pop("kind", None) != "stage1":
    raise UserError(
      f"{folder} is not a work directory of siren-jax train; give one"
    )
  values.pop(run_config.INPUTS, None)
  with about(folder):
    run = configs.from_dict(Stage1Experiment, old_settings.renamed(values))
  return run, {"params": params, **extra}


def read_config(folder: pathlib.Path) -> dict[str, Any]:
  """The bundle's config.json, checked for its format and its sections."""
  path = folder / "config.json"
  settings = _read_settings(path)
  if settings.get("format") != FORMAT:
    raise UserError(
      f"{path}: bundle format {settings.get('format')!r}, this version reads"
      f" {FORMAT}; make a bundle with siren-jax export, or update siren-jax"
    )
  for key in _KEYS:
    if key not in settings:
      raise UserError(f"{path} lacks {key!r}; export the bundle again")
  if not isinstance(settings["name"], str):
    raise UserError(
      f"{path}: name {settings['name']!r} must be text; export the bundle again"
    )
  return old_settings.renamed(settings)


def _read_settings(path: pathlib.Path) -> dict[str, Any]:
  settings = files.read_json(path, "export the bundle again")
  if not isinstance(settings, dict):
    raise UserError(f"{path}: not settings by name; export the bundle again")
  return settings


def save(folder: str | os.PathLike, bundle: Bundle, card: str) -> None:
  """Writes a bundle with model card `card`: all of the folder or none of it.

  Raises:
    UserError: `folder` exists and holds something, or a value does not fit
      into float16.
  """
  with files.new_folder(check_new(folder)) as temporary:
    _write(temporary, bundle, card)


def check_new(folder: str | os.PathLike) -> pathlib.Path:
  """Raises UserError if `folder` is a file or holds anything."""
  folder = paths.local(folder)
  if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
    raise UserError(f"{folder} exists; choose another folder or remove it")
  return folder


def _write(folder: pathlib.Path, bundle: Bundle, card: str) -> None:
  save_encoders(folder, bundle.codec, bundle.clap, np.float16)
  tensors.save(folder / "experts.safetensors", bundle.params, np.float16)
  settings = _read_settings(folder / "config.json") | {
    "format": FORMAT,
    "name": bundle.name,
    "max_seconds": bundle.max_seconds,
    "candidates": bundle.candidates,
    "experts": configs.to_dict(bundle.config),
    "sampling": configs.to_dict(bundle.sampling),
  }
  _write_json(folder / "config.json", settings)
  (folder / "README.md").write_text(card, "utf-8")


def save_encoders(
  folder: pathlib.Path,
  codec_model: codec.Codec,
  clap_model: clap.Clap,
  dtype: Any = None,
) -> None:
  """The part of a bundle that code sets carry: what made codes and prompts.

  `codec.load(folder)` and `clap.load(folder)` read it.
  """
  tensors.save(folder / "codec.safetensors", codec_model.params, dtype)
  tensors.save(folder / "clap.safetensors", clap_model.params, dtype)
  clap_model.tokenizer.save(str(folder / "tokenizer.json"))
  settings = {
    "codec": configs.to_dict(codec_model.config),
    "clap": configs.to_dict(clap_model.config),
  }
  _write_json(folder / "config.json", settings)


def init_experts(key: jax.Array, config: experts.ExpertConfig) -> Any:
  """Random experts as the loaders take them: without logical metadata."""
  return nn.unbox(experts.init(key, config))


def _write_json(path: pathlib.Path, values: Any) -> None:
  path.write_text(json.dumps(values, indent=2) + "\n")


def check_parts(bundle: Bundle) -> None:
  """Refuses parts that were not made for each other.

  Raises:
    UserError: the experts' frozen tables are not the codec's, or the text
      tower's tokens are not as wide as the experts' prompts.
  """
  tables = codec.embedding_tables(bundle.codec.params)
  flat = flax.traverse_util.flatten_dict(bundle.params["frozen"])
  for path, stacked in flat.items():
    table = tables[path[-1]]
    if stacked.shape[1:] != table.shape or not np.allclose(
      stacked, table, atol=1e-3
    ):
      raise UserError(
        f"the experts were trained on the codes of another codec "
        f"({path[-1]} differs); get the one that made their codes (--codec of"
        " siren-jax export)"
      )
  width = bundle.clap.config.text.width
  if width != bundle.config.prompt_dim:
    raise UserError(
      f"the experts read prompts {bundle.config.prompt_dim} wide, this CLAP "
      f"makes them {width} wide; give --clap the one of their code set"
    )
