"""Data sets are written: TFDS folders of array_record, without TensorFlow.

Any TFDS reader opens them: `tfds.builder_from_directory(out)`.
"""

import contextlib
import glob
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siren_jax.common import extras, paths
from siren_jax.common.errors import UserError
from siren_jax.data.sets import index
from siren_jax.data.sets.index import SplitIndex
from siren_jax.data.sets.reader import previous
from siren_jax.storage import folders
from siren_jax.storage.lock import exclusive

if TYPE_CHECKING:
  import tensorflow_datasets as tfds

Examples = Iterable[tuple[str, Mapping[str, Any]]]


@contextlib.contextmanager
def claim(out: str | os.PathLike, overwrite: bool = False) -> Iterator[None]:
  """Keeps others from writing a data set to `out` within the block.

  A set that a killed process left aside is put back, and what it had written
  of a new one is removed.

  Raises:
    UserError: another process writes there, `out` is something other than a
      data set, or it is one and `overwrite` is not set.
  """
  place = paths.local(out).resolve()
  check_target(place)
  with exclusive(place.with_name(f".{place.name}.lock"), str(out)):
    _clean(place)
    if not overwrite and (place / folders.DATASET_INFO).exists():
      raise UserError(
        f"{out} is a data set already; replace it with --overwrite"
        " (overwrite=True in Python) or choose another folder"
      )
    yield


def write(
  out: str | os.PathLike,
  features: "tfds.features.FeaturesDict",
  splits: Mapping[str, Examples],
  finish: Callable[[Path], None] | None = None,
) -> dict[str, SplitIndex]:
  """Writes a data set with its fingerprint to folder `out`: all or nothing.

  An older data set at `out` is replaced once the new one is complete.

  Args:
    features, splits: of the set.
    finish: writes what else belongs into the folder.

  Returns:
    What was written, by split.

  Raises:
    UserError: `out` is something other than a data set, or not writable.
  """
  out = paths.local(out).resolve()
  check_target(out)
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
      prefix=_scratch(out), dir=out.parent
    ) as scratch:
      folder, indices = _build(features, splits, scratch)
      index.write(folder, indices)
      if finish:
        finish(folder)
      _replace(folder, out)
      return indices
  except OSError as error:
    raise UserError(
      f"{out}: cannot write ({error.strerror or error}); free space or choose"
      " another folder"
    ) from error


def check_target(out: str | os.PathLike) -> None:
  """Refuses to write over anything but a data set (or nothing)."""
  out = paths.local(out)
  if not out.exists() or (out / folders.DATASET_INFO).exists():
    return
  if not out.is_dir() or any(out.iterdir()):
    raise UserError(
      f"{out}: exists and is not a data set; choose another folder"
    )


def _build(
  features: "tfds.features.FeaturesDict",
  splits: Mapping[str, Examples],
  data_dir: str,
) -> tuple[Path, dict[str, SplitIndex]]:
  """Writes splits that are made elsewhere; their folder, and what it holds."""
  tfds = extras.load("tensorflow_datasets")  # slow to import
  base: Any = tfds.core.GeneratorBasedBuilder
  indices = {name: SplitIndex() for name in splits}

  # TFDS takes skip_registration.
  class Builder(base, skip_registration=True):  # type: ignore[call-arg]
    name = "siren"
    VERSION = tfds.core.Version("1.0.0")
    # TFDS 4.9.10 needs importlib_resources to find it, and does not ask for it.
    code_path = None

    def _info(self) -> Any:
      return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager: Any) -> dict[str, Examples]:
      del dl_manager  # nothing is downloaded
      return {name: self._generate_examples(name) for name in splits}

    def _generate_examples(self, split: str) -> Examples:
      for key, example in splits[split]:
        indices[split].add(example)
        yield key, example

  builder = Builder(data_dir=data_dir, file_format="array_record")
  tfds.disable_progress_bar()  # the caller shows one, over all splits
  with contextlib.redirect_stdout(io.StringIO()):  # download messages
    builder.download_and_prepare()
  return Path(builder.data_dir), indices


def _scratch(out: Path) -> str:
  return f".{out.name}.partial-"


def _replace(new: Path, out: Path) -> None:
  """At any moment the old set or the new one is whole, at `out` or beside."""
  kept = previous(out)
  if out.exists():
    shutil.rmtree(kept, ignore_errors=True)
    os.replace(out, kept)
  try:
    os.replace(new, out)
  except BaseException:
    if kept.exists():
      os.replace(kept, out)
    raise
  shutil.rmtree(kept, ignore_errors=True)


def _clean(out: Path) -> None:
  """Puts right what a killed process left; nobody else is writing."""
  kept = previous(out)
  if (out / folders.DATASET_INFO).exists():
    shutil.rmtree(kept, ignore_errors=True)
  elif kept.exists():
    os.replace(kept, out)
  for scratch in out.parent.glob(f"{glob.escape(_scratch(out))}*"):
    shutil.rmtree(scratch, ignore_errors=True)
