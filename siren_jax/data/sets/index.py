"""What a data set holds as a whole: counts and fingerprints of its splits."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from siren_jax.common import paths
from siren_jax.data.sets import reader, schema
from siren_jax.storage import fingerprint as fingerprints
from siren_jax.storage import folders

_log = logging.getLogger(__name__)


class SplitIndex:
  """Counts and fingerprint of a split's records, which are added in turn.

  Attributes:
    records: how many there are.
    seconds: length of their sounds; a code set has none.
  """

  def __init__(self) -> None:
    self.records, self.seconds = 0, 0.0
    self._fingerprints: list[str] = []

  def add(self, element: Mapping[str, Any]) -> None:
    self.records += 1
    self.seconds += schema.seconds_of(element)
    self._fingerprints.append(fingerprints.of_element(element))

  @property
  def fingerprint(self) -> str:
    """The same whatever the order of the records."""
    return fingerprints.of_values(sorted(self._fingerprints))


def write(folder: Path, indices: Mapping[str, SplitIndex]) -> None:
  """Keeps the fingerprints beside the records."""
  values = {split: index.fingerprint for split, index in indices.items()}
  (folder / folders.FINGERPRINTS).write_text(
    json.dumps(values, indent=2) + "\n"
  )


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
    raise reader.no_set(path)
  value = folders.identify(path).fingerprint()
  if value is None:
    _log.warning(
      "%s has no fingerprint, so all of it is read; prepare it again to save"
      " the time", path,
    )  # fmt: skip
    records = {split: _read(path, split) for split in reader.splits(path)}
    value = folders.data_fingerprint(path, records)
  return value


def _read(path: Path, split: str) -> str:
  """The fingerprint of a split by its records."""
  index, source = SplitIndex(), reader.open_source(path, split, cached=False)
  for i in range(len(source)):
    index.add(source[i])
  return index.fingerprint
