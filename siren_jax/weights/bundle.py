"""Release bundles: one folder that holds everything `generate` needs.

config.json           {"format": 1, "name", "max_seconds", "candidates",
                       "codec", "clap", "experts", "sampling"}
codec.safetensors     parameters by path ('/' between names), float16
clap.safetensors      likewise
experts.safetensors   likewise, the experts stacked on the leading axis
tokenizer.json        the text tower's BPE
README.md             model card
kinds.json, kinds.safetensors   see `repertoire`; not in all bundles
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np

from siren_jax import clap, codec, experts
from siren_jax.common import config as configs
from siren_jax.common import files, paths
from siren_jax.common.errors import UserError, about
from siren_jax.sampling import GenerateConfig, Models, SamplingConfig
from siren_jax.storage import components, folders, old_settings, tensors
from siren_jax.storage.folders import Folder, FolderKind
from siren_jax.weights import repertoire as repertoires
from siren_jax.weights.repertoire import Repertoire

FORMAT = 1
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
class _Stored:
  """Stacked experts of a folder; read on access if `params` is None."""

  folder: pathlib.Path
  params: Any = None


class _Params:
  """The field `Bundle.params`, which may be `_Stored`."""

  def __get__(self, bundle: Any, owner: type | None = None) -> Any:
    if bundle is None:
      raise AttributeError  # of the class: the field has no default
    params = bundle.__dict__["params"]
    if not isinstance(params, _Stored):
      return params
    if params.params is None:
      return _read_experts(params.folder)[1]
    return params.params

  def __set__(self, bundle: Any, params: Any) -> None:
    bundle.__dict__["params"] = params


@dataclasses.dataclass(frozen=True)
class Bundle:
  """Everything that is needed to turn text into sound.

  Attributes:
    name: what the bundle calls itself.
    codec, clap: the codec and the text tower, with their parameters.
    config, params: the stacked experts; see `released`.
    sampling: the default settings of `generate`.
    execution: how the experts are run. It is not saved; older bundles that
      contain it are run accordingly.
    max_seconds: length of the longest training sounds; longer sounds are drawn
      in windows of this length.
    candidates: drawn for each sound by default; the one closest to the prompt
      by CLAP is kept.
    repertoire: what the experts were trained on; None: unknown.
  """

  name: str
  codec: codec.Codec
  clap: clap.Clap
  config: experts.ExpertConfig
  params: Any = _Params()  # No default.
  _: dataclasses.KW_ONLY
  sampling: SamplingConfig
  max_seconds: float = 30.0
  candidates: int = 1
  repertoire: Repertoire | None = None
  execution: experts.Execution = experts.Execution()

  def __post_init__(self) -> None:
    GenerateConfig(self.sampling, self.candidates, self.max_seconds)

  @property
  def models(self) -> Models:
    """The configs of all components."""
    return Models(
      self.clap.config, self.config, self.codec.config, self.execution
    )

  @property
  def all_params(self) -> dict[str, Any]:
    """The parameters of all components, by the names in `models`."""
    return {
      "clap": self.clap.params,
      "experts": self.params,
      "codec": self.codec.params,
    }

  def run_with(self, execution: experts.Execution) -> "Bundle":
    """The same bundle with another execution."""
    params = self.__dict__["params"]
    return dataclasses.replace(self, params=params, execution=execution)

  def released(self, **changes: Any) -> "Bundle":
    """The bundle with these changes, and without experts read by `load`.

    They are read again when `params` is accessed; experts from elsewhere are
    kept.
    """
    params = self.__dict__["params"]
    if isinstance(params, _Stored):
      params = _Stored(params.folder)
    return dataclasses.replace(self, params=params, **changes)


def load(
  name_or_path: str | os.PathLike | None = None,
  execution: experts.Execution | None = None,
) -> Bundle:
  """Reads a bundle, checking every tensor against its config.

  Args:
    name_or_path: a folder, or the name of a built-in bundle; by default
      `folders.DEFAULT`.
    execution: how the experts are run.

  Raises:
    UserError: a file or tensor is missing, broken or of another shape (the
      message names it), or a component is of another bundle.
  """
  folder = folders.identify(name_or_path or None)
  settings = read_config(folder)
  generate = generate_config(folder)
  config, params = _read_experts(folder.path)
  model = Bundle(
    name=settings["name"],
    codec=codec.load(folder.path),
    clap=clap.load(folder.path),
    config=config,
    params=_Stored(folder.path, params),
    sampling=generate.sampling,
    max_seconds=generate.max_seconds,
    candidates=generate.candidates,
    repertoire=repertoires.load(folder.path),
    execution=execution or read_execution(folder, settings),
  )
  with about(folder.path):
    check_components(model)
  return model


def _read_experts(folder: pathlib.Path) -> tuple[experts.ExpertConfig, Any]:
  return components.load(folder, "experts", experts.ExpertConfig, init_experts)


def generate_config(folder: Folder) -> GenerateConfig:
  """Settings of `generate` in a bundle's config.json.

  Raises:
    UserError: not a bundle's config, or a setting is out of range.
  """
  settings = read_config(folder)
  names = [f.name for f in dataclasses.fields(GenerateConfig)]
  with about(folder.path / folders.CONFIG):
    return configs.from_dict(
      GenerateConfig, {name: settings[name] for name in names}
    )


def read_execution(
  folder: Folder, settings: dict[str, Any]
) -> experts.Execution:
  """The execution in the settings, or the default if they have none.

  Raises:
    UserError: a setting is unknown or out of range.
  """
  with about(folder.path):
    return configs.from_dict(
      experts.Execution, settings.get("execution", {}), "execution."
    )


def read_config(folder: Folder) -> dict[str, Any]:
  """The bundle's config.json, checked for its format and its sections.

  Raises:
    UserError: it is not that of a bundle, or not one of this format.
  """
  if folder.kind not in (FolderKind.BUNDLE, FolderKind.OTHER):
    raise folder.refusal("a bundle", "make one with siren-jax export")
  path, settings = folder.path / folders.CONFIG, folder.settings
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


def save(folder: str | os.PathLike, bundle: Bundle, card: str) -> None:
  """Writes a bundle with model card `card`, atomically.

  Raises:
    UserError: `folder` exists and is not empty, or a value does not fit into
      float16.
  """
  with files.new_folder(check_new(folder)) as temporary:
    _write(temporary, bundle, card)


def check_new(folder: str | os.PathLike) -> pathlib.Path:
  """Raises UserError if `folder` cannot become a bundle."""
  folder = paths.local(folder)
  if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
    raise UserError(f"{folder} exists; choose another folder or remove it")
  files.check_replaceable(folder)
  return folder


def _write(folder: pathlib.Path, bundle: Bundle, card: str) -> None:
  save_encoders(folder, bundle.codec, bundle.clap, np.float16)
  tensors.save(folder / "experts.safetensors", bundle.params, np.float16)
  settings = _encoder_settings(bundle.codec, bundle.clap) | {
    "format": FORMAT,
    "name": bundle.name,
    "max_seconds": bundle.max_seconds,
    "candidates": bundle.candidates,
    "experts": configs.to_dict(bundle.config),
    "sampling": configs.to_dict(bundle.sampling),
  }
  _write_json(folder / folders.CONFIG, settings)
  if bundle.repertoire is not None:
    repertoires.save(folder, bundle.repertoire)
  (folder / "README.md").write_text(card, "utf-8")


def save_encoders(
  folder: pathlib.Path,
  codec_model: codec.Codec,
  clap_model: clap.Clap,
  dtype: Any = None,
) -> None:
  """Writes the codec and CLAP of a code set, as in a bundle.

  `codec.load(folder)` and `clap.load(folder)` read it.
  """
  tensors.save(folder / "codec.safetensors", codec_model.params, dtype)
  tensors.save(folder / "clap.safetensors", clap_model.params, dtype)
  clap_model.tokenizer.save(str(folder / "tokenizer.json"))
  settings = _encoder_settings(codec_model, clap_model)
  _write_json(folder / folders.CONFIG, settings)


def _encoder_settings(
  codec_model: codec.Codec, clap_model: clap.Clap
) -> dict[str, Any]:
  return {
    "codec": configs.to_dict(codec_model.config),
    "clap": configs.to_dict(clap_model.config),
  }


def init_experts(key: jax.Array, config: experts.ExpertConfig) -> Any:
  """Random experts as the loaders take them: without logical metadata."""
  return nn.unbox(experts.init(key, config))


def _write_json(path: pathlib.Path, values: Any) -> None:
  path.write_text(json.dumps(values, indent=2) + "\n")


def check_components(bundle: Bundle) -> None:
  """Checks that components belong together.

  Raises:
    UserError: the experts' frozen tables are not the codec's, the text tower's
      tokens are not as wide as the experts' prompts, or the embeddings of the
      repertoire are not as wide as its own.
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
        f"({path[-1]} differs); give the codec that made their codes (--codec"
        " of siren-jax export)"
      )
  width = bundle.clap.config.text.width
  if width != bundle.config.prompt_dim:
    raise UserError(
      f"the experts take prompts of width {bundle.config.prompt_dim}, but this"
      f" CLAP makes width {width}; set --clap to the one used for their codes"
    )
  if bundle.repertoire is not None:
    bundle.repertoire.check(bundle.clap.config.embed_dim)
