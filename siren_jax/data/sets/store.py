"""Prepared data sets (TFDS folders), opened for reading."""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from siren_jax.common import paths, sniff
from siren_jax.common.errors import UserError
from siren_jax.storage import fingerprint as fingerprints
from siren_jax.storage import folders

Element = dict[str, Any]
Source = Sequence[Element]

INFO = folders.DATASET_INFO
RECORDS = folders.RECORDS
MAX_CACHED_BYTES = 4 << 30  # larger sets are read from disk every time

_log = logging.getLogger(__name__)


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
  return _Folder(paths.local(path), split, cached)


def splits(path: str | os.PathLike) -> tuple[str, ...]:
  """Names of the splits of a prepared set."""
  return tuple(_tfds_builder(paths.local(path)).info.splits)


def texts(path: str | os.PathLike, split: str, *names: str) -> list[Element]:
  """Some fields of every record of a split, in order.

  The other fields, such as the sound, are neither decoded nor kept.
  """
  import tensorflow_datasets as tfds

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


def fingerprint(path: str | os.PathLike) -> str:
  """Fingerprint of the content of a data set, a model's folder or a file.

  A data set's is kept beside it when it is written: this reads a few bytes,
  and the weights of a codec and CLAP that a code set carries. All records of
  a set without one are read, and a line says so.

  Raises:
    UserError: there is nothing at `path`.
  """
  path = paths.local(path)
  if path.is_file():
    return fingerprints.of_file(path)
  if not path.exists():
    raise _no_set(path)
  value = folders.identify(path).fingerprint()
  if value is None:
    _log.warning(
      "%s has no fingerprint, so all of it is read; prepare it again to save"
      " the time", path,
    )  # fmt: skip
    value = folders.data_fingerprint(path, _read_fingerprints(path))
  return value


class Fingerprint:
  """Of the records of a split, whatever their order; fed one at a time."""

  def __init__(self):
    self._records: list[str] = []

  def add(self, element: Mapping[str, Any]) -> None:
    self._records.append(fingerprints.of_element(element))

  def value(self) -> str:
    return fingerprints.of_values(sorted(self._records))


def _read_fingerprints(path: Path) -> dict[str, str]:
  values = {}
  for split in splits(path):
    records, source = Fingerprint(), open_source(path, split, cached=False)
    for index in range(len(source)):
      records.add(source[index])
    values[split] = records.value()
  return values


class _Folder:
  """A split of a TFDS folder; a small set is read once where it is cached."""

  def __init__(self, path: Path, split: str, cached: bool):
    tfds_builder = _tfds_builder(path)
    _check_split(path, split, tfds_builder.info.splits)
    self._path = path
    with _reading(path):
      self._data = tfds_builder.as_data_source(split)
    small = tfds_builder.info.dataset_size < MAX_CACHED_BYTES
    self._cache = {} if cached and small else None

  def __len__(self) -> int:
    return len(self._data)

  def __getitem__(self, index: int) -> Element:
    if self._cache is None:
      return self._read(index)
    if index not in self._cache:
      self._cache[index] = self._read(index)
    return self._cache[index]

  def _read(self, index: int) -> Element:
    with _reading(self._path):
      return _decode(self._data[index])


def previous(path: Path) -> Path:
  """Where the set at `path` is while another takes its place."""
  return path.with_name(f".{path.name}.previous")


def _tfds_builder(path: Path):
  import tensorflow_datasets as tfds  # slow to import

  if not (path / INFO).exists():
    raise _no_set(path)
  with _reading(path):
    return tfds.builder_from_directory(path)


def _no_set(path: Path) -> UserError:
  kept = previous(path)
  if (kept / INFO).exists():
    return UserError(
      f"{path}: no data set here; the one before was moved to {kept} when"
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
          f"{file} is {what} (or copy the data set again)"
        ) from error
    raise UserError(
      f"{path}: not a whole data set ({error!r:.200}); copy it again, or make"
      " it anew with siren-jax prepare-data"
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
