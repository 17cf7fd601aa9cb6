"""Prepared data sets (TFDS folders), opened for reading."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from siren_jax.common import extras, paths, sniff
from siren_jax.common.errors import UserError
from siren_jax.storage import folders

Element = dict[str, Any]

MAX_CACHED_BYTES = 4 << 30  # larger sets are read from disk every time


class Source(Protocol):
  """Records in random access."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Element: ...


def open_source(
  path: str | os.PathLike, split: str, cached: bool = True
) -> Source:
  """The records of a split as dictionaries, in random access.

  Args:
    cached: keeps what was read of a set that fits into memory; not for one
      pass over it.

  Raises:
    UserError: no data set at `path`, or it has no such split.
  """
  return _Split(paths.local(path), split, cached)


def splits(path: str | os.PathLike) -> tuple[str, ...]:
  """Names of the splits of a prepared set."""
  return tuple(_tfds_builder(paths.local(path)).info.splits)


def texts(path: str | os.PathLike, split: str, *names: str) -> list[Element]:
  """Some fields of every record of a split, in order.

  The other fields, such as the sound, are neither decoded nor kept.
  """
  tfds = extras.load("tensorflow_datasets")
  path = paths.local(path)
  builder = _tfds_builder(path)
  _check_split(path, split, builder.info.splits)
  with _reading(path):
    features = tfds.features.FeaturesDict(
      {name: builder.info.features[name] for name in names}
    )
    records = builder.as_data_source(
      split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
    )
    return [_decode(features.deserialize_example_np(r)) for r in records]


def captions(path: str | os.PathLike, split: str = "train") -> list[str]:
  """All captions of a split, in order, each once."""
  every = (c for e in texts(path, split, "captions") for c in e["captions"])
  return list(dict.fromkeys(every))


class _Split:
  """A split of a TFDS folder; a small set is read once where it is cached."""

  def __init__(self, path: Path, split: str, cached: bool):
    tfds_builder = _tfds_builder(path)
    _check_split(path, split, tfds_builder.info.splits)
    self._path, self._identity = path, _identity(path)
    with _reading(path):
      self._data = tfds_builder.as_data_source(split)
    small = tfds_builder.info.dataset_size < MAX_CACHED_BYTES
    self._cache: dict[int, Element] | None = {} if cached and small else None

  def __len__(self) -> int:
    return len(self._data)

  def __getitem__(self, index: int) -> Element:
    if self._cache is None:
      return self._read(index)
    if index not in self._cache:
      self._cache[index] = self._read(index)
    return self._cache[index]

  def _read(self, index: int) -> Element:
    # Shards are opened when they are first read.
    if _identity(self._path) not in (self._identity, None):
      raise UserError(
        f"{self._path}: another data set took its place while it was read; run"
        " the same command again"
      )
    with _reading(self._path):
      return _decode(self._data[index])


def _identity(path: Path) -> tuple[int, int] | None:
  """Of the files at `path`; None if there are none any more."""
  try:
    status = (path / folders.DATASET_INFO).stat()
  except OSError:
    return None
  return status.st_ino, status.st_mtime_ns


def previous(path: Path) -> Path:
  """Where the set at `path` is while another takes its place."""
  return path.with_name(f".{path.name}.previous")


def _tfds_builder(path: Path) -> Any:
  if not (path / folders.DATASET_INFO).exists():
    raise no_set(path)
  tfds = extras.load("tensorflow_datasets")  # slow to import
  with _reading(path):
    return tfds.builder_from_directory(path)


def no_set(path: Path) -> UserError:
  """The error of a folder that holds no data set."""
  kept = previous(path)
  if (kept / folders.DATASET_INFO).exists():
    return UserError(
      f"{path}: no data set here; the previous one was moved to {kept} when"
      " prepare-data was killed: move it back"
    )
  instead = ""
  if path.is_dir():
    folder = folders.identify(path)
    if folder.kind is not folders.FolderKind.OTHER:
      instead = f", but {folder.description}"
  return UserError(
    f"{path}: no prepared data set here{instead}; make one with siren-jax"
    " prepare-data"
  )


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
  """Turns what a broken set raises into one line."""
  try:
    yield
  except (UserError, IndexError, MemoryError):
    raise
  except Exception as error:  # Protobuf and array_record raise many kinds.
    for file in sorted(path.iterdir()):
      if what := sniff.describe(file):
        raise UserError(
          f"{file} is {what} (copy the data set again)"
        ) from error
    raise UserError(
      f"{path}: not a valid data set ({error!r:.200}); copy it again, or"
      " make it again with siren-jax prepare-data"
    ) from error


def _check_split(path: Path, split: str, known: Iterable[str]) -> None:
  if split not in known:
    raise UserError(f"{path}: no split {split!r}; it has {', '.join(known)}")


def _decode(element: Element) -> Element:
  """TFDS gives text as bytes."""
  return {name: _text(value) for name, value in element.items()}


def _text(value: Any) -> Any:
  if isinstance(value, bytes):
    return value.decode()
  if isinstance(value, list | tuple):
    return [_text(v) for v in value]
  return value
