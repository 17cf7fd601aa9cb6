"""Data sets are written: TFDS folders of array_record, without TensorFlow.

Any TFDS reader opens them: `tfds.builder_from_directory(out)`.
"""

import contextlib
import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from siren_jax.common import extras, files, paths
from siren_jax.common.errors import UserError
from siren_jax.data.sets import index, reader
from siren_jax.data.sets.index import SplitIndex
from siren_jax.data.sets.reader import previous
from siren_jax.storage import fingerprint, folders
from siren_jax.storage.lock import exclusive

if TYPE_CHECKING:
  import tensorflow_datasets as tfds

Examples = Iterable[tuple[str, Mapping[str, Any]]]
_SHARD_BYTES = 128 << 20


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
  except (OSError, RuntimeError) as error:
    # array_record raises a RuntimeError on a full disk.
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, RuntimeError) and "No space left" not in reason:
      raise
    raise UserError(
      f"{out}: cannot write ({reason}); free space or choose another folder"
    ) from error


def check_target(out: str | os.PathLike) -> None:
  """Refuses to write over anything but a data set (or nothing)."""
  out = paths.local(out)
  files.check_replaceable(out)
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
  """Writes splits that are made elsewhere; their folder, and what it holds.

  Records are written as they come, then in the order of hashes of their keys,
  so memory holds one at a time. (TFDS's own shuffling on disk, beyond 1 GB,
  needs TensorFlow.)
  """
  indices = {name: SplitIndex() for name in splits}
  keys: dict[str, list[str]] = {name: [] for name in splits}

  def indexed(name: str) -> Iterator[Mapping[str, Any]]:
    for key, example in splits[name]:
      indices[name].add(example)
      keys[name].append(key)
      yield example

  def shuffled(name: str) -> Iterator[Mapping[str, Any]]:
    source = reader.open_source(unsorted, name, cached=False)
    hashes = [fingerprint.of_values(key) for key in keys[name]]
    order = sorted(range(len(hashes)), key=hashes.__getitem__)
    # Shown only where it takes a while.
    progress = tqdm(order, desc=f"shuffling {name}", unit=" sounds", delay=5)
    return (source[i] for i in progress)

  unsorted, folder = Path(data_dir, "unsorted"), Path(data_dir, "shuffled")
  total = _write_splits(unsorted, features, indexed, splits, sys.maxsize)
  records = sum(index.records for index in indices.values())
  a_shard = max(1, records * _SHARD_BYTES // max(1, total))
  _write_splits(folder, features, shuffled, splits, a_shard)
  return folder, indices


def _write_splits(
  folder: Path,
  features: "tfds.features.FeaturesDict",
  examples: Callable[[str], Iterator[Mapping[str, Any]]],
  splits: Iterable[str],
  records_a_shard: int,
) -> int:
  """Writes the examples of each split in order; their size in bytes."""
  tfds = extras.load("tensorflow_datasets")  # slow to import
  folder.mkdir()
  identity = tfds.core.dataset_info.DatasetIdentity(
    name="siren",
    version=tfds.core.Version("1.0.0"),
    data_dir=str(folder),
    module_name=__name__,
  )
  info = tfds.core.DatasetInfo(builder=identity, features=features)
  sequential = tfds.core.SequentialWriter(
    info, records_a_shard, file_format="array_record"
  )
  sequential.initialize_splits(list(splits))
  for name in splits:
    sequential.add_examples({name: examples(name)})
  sequential.close_all()
  return int(info.dataset_size)


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
