"""Features of clips, cached between runs.

The key of an entry is the content of the clip and the fingerprint of the
scorer. Each entry has a checksum of its key and arrays; corrupt entries are
recomputed.
"""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from siren_jax.common import files, paths
from siren_jax.common.errors import UserError
from siren_jax.storage import fingerprint

_NOTES, _CHECKSUM = "_notes", "_checksum"  # in addition to a scorer's arrays


class Cache:
  """A folder of results; an unwritable one is still read.

  Methods identify a scorer by its fingerprint, a clip by its content.

  Args:
    folder: of the results; None: no cache.
  """

  def __init__(self, folder: str | os.PathLike | None):
    self._folder = paths.local(folder) if folder else None
    self._is_writable = True

  def get(
    self, scorer: str, content: str
  ) -> tuple[dict[str, np.ndarray], tuple[str, ...]] | None:
    """Arrays by name and the reader's notes; None if not cached."""
    if not self._folder:
      return None
    try:
      path = _path(self._folder, scorer, content)
      entry = files.read_npz(path, "computed again")
    except UserError:
      return None  # There is no entry, or an incomplete one.
    checksum = entry.pop(_CHECKSUM, None)
    if checksum is None or str(checksum) != _checksum(scorer, content, entry):
      return None
    return entry, tuple(json.loads(str(entry.pop(_NOTES))))

  def put(
    self,
    scorer: str,
    content: str,
    arrays: Mapping[str, np.ndarray],
    notes: Sequence[str],
  ) -> None:
    """Stores a result; after a failure, warns once and stores no more."""
    if not self._folder or not self._is_writable:
      return
    entry: dict[str, Any] = {**arrays, _NOTES: np.array(json.dumps(notes))}
    entry[_CHECKSUM] = np.array(_checksum(scorer, content, entry))
    try:
      path = _path(self._folder, scorer, content)
      with files.replacing(path) as file:
        np.savez(file, **entry)
    except UserError as error:
      self._is_writable = False
      logging.warning("results are not cached: %s", error)


def _path(folder: pathlib.Path, scorer: str, content: str) -> pathlib.Path:
  return folder / scorer / f"{content}.npz"


def _checksum(
  scorer: str, content: str, entry: Mapping[str, np.ndarray]
) -> str:
  return fingerprint.of_element(
    {**entry, "_scorer": scorer, "_content": content}
  )
