"""What a folder or a name is: a bundle, a work directory, a data set ...

`find` turns every name into a folder: a local one, a built-in bundle or one
from the hub.
"""

import dataclasses
import enum
import functools
import os
from pathlib import Path
from typing import Any

from siren_jax.common import files, paths
from siren_jax.common.errors import UserError
from siren_jax.storage import fingerprint as fingerprints
from siren_jax.storage import hub

# Built-in bundles, one folder each.
SHIPPED = Path(__file__).parents[1] / "bundles"
DEFAULT = "siren-small"

# Components of a model: sections of its config.json, each with tensors in
# NAME.safetensors.
COMPONENTS = ("codec", "clap", "experts", "vggish", "cnn14")

CONFIG = "config.json"
CHECKPOINTS = "checkpoints"
DATASET_INFO = "dataset_info.json"  # marks a folder as a TFDS data set
FINGERPRINTS = "fingerprint.json"  # of the records of a data set, by split
REMEDY = "give a bundle or a training work directory"


class FolderKind(enum.Enum):
  """Kinds of folders; the values are their names in messages."""

  BUNDLE = "a bundle"
  WORKDIR = "a training work directory"
  IMPORTED = "an imported model"  # of import-weights
  AUDIO_SET = "an audio set"
  CODE_SET = "a code set"  # with the codec and CLAP that made it
  STAGE1_FILES = "the authors' Stage-1 files"
  OTHER = "not a siren-jax folder"


@dataclasses.dataclass(frozen=True)
class Folder:
  """A folder and what it is, judged by its files."""

  path: Path
  kind: FolderKind

  @property
  def is_shipped(self) -> bool:
    """Whether it is a built-in bundle."""
    return self.path.parent == SHIPPED

  @functools.cached_property
  def settings(self) -> dict[str, Any]:
    """Content of its config.json; empty if that contains no settings.

    Raises:
      UserError: it is missing or broken.
    """
    return _settings(self.path)

  @property
  def components(self) -> tuple[str, ...]:
    """Names of the trained components in it, from `COMPONENTS`.

    Raises:
      UserError: see `settings`.
    """
    if self.kind is FolderKind.AUDIO_SET:
      return ()
    return tuple(name for name in COMPONENTS if name in self.settings)

  @property
  def experiment(self) -> str | None:
    """Kind of the experiment of a work directory; None for other folders.

    Raises:
      UserError: see `settings`.
    """
    is_workdir = self.kind is FolderKind.WORKDIR
    return self.settings.get("kind") if is_workdir else None

  @property
  def description(self) -> str:
    """What it is, in words for messages."""
    if self.kind is FolderKind.WORKDIR and (self.path / CONFIG).is_file():
      return f"{self.kind.value} (kind={self.experiment!r})"
    if self.kind is FolderKind.IMPORTED:
      return f"{self.kind.value} ({', '.join(self.components)})"
    return "a built-in bundle" if self.is_shipped else self.kind.value

  def fingerprint(self) -> str | None:
    """Fingerprint of its data or model; fast, reads a few files.

    None for a data set without a stored fingerprint.

    Raises:
      UserError: the stored fingerprint of the data set is broken.
    """
    if self.kind not in (FolderKind.AUDIO_SET, FolderKind.CODE_SET):
      return model_fingerprint(self.path)
    if not (self.path / FINGERPRINTS).exists():
      return None
    records = files.read_json(
      self.path / FINGERPRINTS, "copy the data set again"
    )
    return data_fingerprint(self.path, records)

  def refusal(self, expected: str, remedy: str = REMEDY) -> UserError:
    """The error for a folder that is not the `expected` kind."""
    return UserError(
      f"expected {expected}; {self.path} is {self.description}; {remedy}"
    )


def find(name_or_path: str | os.PathLike | None) -> Path:
  """A local folder, or else the built-in bundle of that name.

  None is the default bundle; hub:OWNER/NAME is fetched, see `hub.fetch`.

  Raises:
    UserError: neither exists; the message lists the built-in names.
  """
  if name_or_path is None:
    name_or_path = DEFAULT
  if os.fspath(name_or_path).startswith(hub.PREFIX):
    return hub.fetch(os.fspath(name_or_path))
  if os.fspath(name_or_path):  # An empty name is not the current folder.
    path = paths.local(name_or_path)
    for folder in (path, SHIPPED / path):
      if folder.is_dir():
        return folder
  names = sorted(p.name for p in SHIPPED.glob("*") if p.is_dir())
  raise UserError(
    f"no model {str(name_or_path)!r}: neither a folder nor a built-in model"
    f" ({', '.join(names) or 'none'}); {REMEDY}"
  )


def imported(path: str | os.PathLike) -> Path:
  """A folder of a model that is not built in.

  Raises:
    UserError: there is no such folder.
  """
  folder = paths.local(path)
  if not folder.is_dir():
    raise UserError(
      f"{path}: no such folder; make it with siren-jax import-weights"
    )
  return folder


def identify(name_or_path: str | os.PathLike | None) -> Folder:
  """The folder that `find` gives, and what it is.

  Raises:
    UserError: there is none, or its config.json is broken.
  """
  folder = find(name_or_path)
  return Folder(folder, _kind(folder))


def _kind(folder: Path) -> FolderKind:
  if (folder / CHECKPOINTS).is_dir():
    return FolderKind.WORKDIR
  has_config = (folder / CONFIG).is_file()
  if (folder / DATASET_INFO).is_file():
    return FolderKind.CODE_SET if has_config else FolderKind.AUDIO_SET
  settings = _settings(folder) if has_config else {}
  if "format" in settings:
    return FolderKind.BUNDLE
  if any(name in settings for name in COMPONENTS):
    return FolderKind.IMPORTED
  if settings and (folder / "expert_0.safetensors").is_file():
    return FolderKind.STAGE1_FILES
  return FolderKind.OTHER


def _settings(folder: Path) -> dict[str, Any]:
  values = files.read_json(folder / CONFIG, REMEDY)
  return values if isinstance(values, dict) else {}


def steps(workdir: Path) -> list[int]:
  """Steps of the checkpoints in a work directory, in no order."""
  names = (path.name for path in workdir.glob(f"{CHECKPOINTS}/*"))
  return [int(name) for name in names if name.isdigit()]


def model_fingerprint(folder: Path) -> str:
  """Fingerprint of a bundle, of imported weights or of a work directory.

  For a work directory, it covers the newest complete checkpoint and the
  tokenizer, and changes as training continues. A folder without a model has the
  fingerprint of no files.
  """
  patterns = [CONFIG, "tokenizer.json", "*.safetensors"]
  for step in sorted(steps(folder), reverse=True):
    sums = f"{CHECKPOINTS}/{step}/sums/metadata"
    if (folder / sums).is_file():
      patterns = [sums, "tokenizer.json"]
      break
  matches = {path for pattern in patterns for path in folder.glob(pattern)}
  return fingerprints.of_files(sorted(matches))


def data_fingerprint(folder: Path, records: dict[str, str]) -> str:
  """Fingerprint of a data set: of the records by split, and of its encoders."""
  return fingerprints.of_values(
    {"records": records, "encoders": model_fingerprint(folder)}
  )
