"""Prepared data sets, opened for reading: a TFDS folder, or one npz file.

The npz (arrays joined end to end, texts as JSON) is for machines that have no
TFDS, and for carrying a set as one file. Both give the same records.
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from siren_jax.common.errors import UserError
from siren_jax.common.files import read_npz, replacing

Element = dict[str, Any]
Source = Sequence[Element]

INFO = "dataset_info.json"  # the file that makes a folder a TFDS data set
MAX_CACHED_BYTES = 4 << 30  # larger sets are read from disk every time
_TEXTS = "texts"


def open_source(path: str | os.PathLike, split: str) -> Source:
  """The records of a split as dictionaries, in random access.

  Raises:
    UserError: no data set at `path`, or it has no such split.
  """
  path = Path(path)
  return _NpzSource(path, split) if _is_npz(path) else _Folder(path, split)


def splits(path: str | os.PathLike) -> tuple[str, ...]:
  """Names of the splits of a prepared set."""
  path = Path(path)
  if _is_npz(path):
    return tuple(_texts(path, _load(path)))
  return tuple(_tfds_builder(path).info.splits)


def captions(path: str | os.PathLike, split: str = "train") -> list[str]:
  """All captions of a split, in order, each once (to train a tokenizer)."""
  source = open_source(path, split)
  found = (c for i in range(len(source)) for c in source[i]["captions"])
  return list(dict.fromkeys(found))


def export_npz(path: str | os.PathLike, out: str | os.PathLike) -> None:
  """Writes a prepared set as one compressed npz: all of it or nothing.

  For each split and array, `SPLIT/NAME` (joined along its first axis) and
  `SPLIT/NAME.offsets`; all texts and plain numbers as JSON in `texts`.
  """
  arrays, texts = {}, {}
  for split in splits(path):
    source = open_source(path, split)
    elements = [source[i] for i in range(len(source))]
    texts[split] = {}
    for name, first in elements[0].items():
      values = [element[name] for element in elements]
      if isinstance(first, np.ndarray):
        ends = np.cumsum([0, *map(len, values)])
        arrays[f"{split}/{name}"] = np.concatenate(values)
        arrays[f"{split}/{name}.offsets"] = ends
      else:
        texts[split][name] = values
  with replacing(out) as file:
    np.savez_compressed(file, **{_TEXTS: json.dumps(texts)}, **arrays)


class _Folder:
  """A split of a TFDS folder; a set that fits into memory is read once."""

  def __init__(self, path: Path, split: str):
    tfds_builder = _tfds_builder(path)
    _check_split(path, split, tfds_builder.info.splits)
    self._data = tfds_builder.as_data_source(split)
    small = tfds_builder.info.dataset_size < MAX_CACHED_BYTES
    self._cache = {} if small else None

  def __len__(self) -> int:
    return len(self._data)

  def __getitem__(self, index: int) -> Element:
    if self._cache is None:
      return _decode(self._data[index])
    if index not in self._cache:
      self._cache[index] = _decode(self._data[index])
    return self._cache[index]


class _NpzSource:
  """A split of an npz file, in memory."""

  def __init__(self, path: Path, split: str):
    found = _load(path)
    texts = _texts(path, found)
    _check_split(path, split, texts)
    self._texts = texts[split]
    prefix = f"{split}/"
    arrays = {
      key.removeprefix(prefix): value
      for key, value in found.items()
      if key.startswith(prefix)
    }
    self._names = [name for name in arrays if not name.endswith(".offsets")]
    self._arrays = arrays

  def __len__(self) -> int:
    return len(self._texts["id"])

  def __getitem__(self, index: int) -> Element:
    element = {name: values[index] for name, values in self._texts.items()}
    for name in self._names:
      start, stop = self._arrays[f"{name}.offsets"][index : index + 2]
      element[name] = self._arrays[name][start:stop]
    return element


def _is_npz(path: Path) -> bool:
  return path.suffix == ".npz"


def _load(path: Path) -> dict[str, np.ndarray]:
  return read_npz(path, "export it again")


def _texts(path: Path, found: dict[str, np.ndarray]) -> dict[str, Any]:
  try:
    return dict(json.loads(str(found[_TEXTS])))
  except (KeyError, ValueError, TypeError) as error:
    raise UserError(
      f"{path}: no set of recordings; make it with siren_jax.data.export_npz"
    ) from error


def _tfds_builder(path: Path):
  import tensorflow_datasets as tfds  # slow to import, and not for an npz

  if not (path / INFO).exists():
    raise UserError(
      f"{path}: no prepared data set here; make one with siren-jax prepare-data"
    )
  return tfds.builder_from_directory(path)


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
