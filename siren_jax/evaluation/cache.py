"""Features of clips, kept between runs.

An entry goes by the content of the clip and the fingerprint of the scorer, and
ends with a checksum of both and of its arrays: whatever is not exactly what was
written for that clip is computed again.
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

_NOTES, _CHECKSUM = "_notes", "_checksum"  # beside a scorer's own arrays


class Cache:
  """A folder of results; one that cannot be written is used as far as it is.

  Methods name a scorer by its fingerprint, and a clip by its content.

  Args:
    folder: where they are kept; None keeps none.
  """

  def __init__(self, folder: str | os.PathLike | None):
    self._folder = paths.local(folder) if folder else None
    self._is_writable = True

  def get(
    self, scorer: str, content: str
  ) -> tuple[dict[str, np.ndarray], tuple[str, ...]] | None:
    """Arrays by name and the reader's notes; None: there are none."""
    if not self._folder:
      return None
    try:
      path = _path(self._folder, scorer, content)
      entry = files.read_npz(path, "computed again")
    except UserError:
      return None  # There is none, or half of one.
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
    """Keeps a result; where that fails, says so once and keeps no more."""
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
      logging.warning("results are not kept for the next run: %s", error)


def _path(folder: pathlib.Path, scorer: str, content: str) -> pathlib.Path:
  return folder / scorer / f"{content}.npz"


def _checksum(
  scorer: str, content: str, entry: Mapping[str, np.ndarray]
) -> str:
  return fingerprint.of_element(
    {**entry, "_scorer": scorer, "_content": content}
  )
