"""What scorers have heard, kept between runs.

An entry goes by the content of the clip and the fingerprint of the scorer, and
ends with a checksum of both and of its arrays: whatever is not exactly what was
written for that clip is heard anew.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from siren_jax.common import files, paths
from siren_jax.common.errors import UserError

_NOTES, _CHECKSUM = "_notes", "_checksum"  # beside a scorer's own arrays


class Cache:
  """A folder of results; one that cannot be written is used as far as it is.

  Args:
    folder: where they are kept; None keeps none.
  """

  def __init__(self, folder: str | os.PathLike | None):
    self._folder = paths.local(folder) if folder else None
    self._is_writable = folder is not None

  def get(
    self, fingerprint: str, content: str
  ) -> tuple[dict[str, np.ndarray], tuple[str, ...]] | None:
    """Arrays by name and the reader's notes; None: it is to be heard."""
    if not self._folder:
      return None
    try:
      entry = files.read_npz(self._path(fingerprint, content), "heard anew")
    except UserError:
      return None  # There is none, or half of one.
    checksum = entry.pop(_CHECKSUM, None)
    if checksum is None or str(checksum) != _checksum(
      fingerprint, content, entry
    ):
      return None
    return entry, tuple(json.loads(str(entry.pop(_NOTES))))

  def put(
    self,
    fingerprint: str,
    content: str,
    arrays: Mapping[str, np.ndarray],
    notes: Sequence[str],
  ) -> None:
    """Keeps a result; where that fails, says so once and keeps no more."""
    if not self._is_writable:
      return
    entry = {**arrays, _NOTES: np.array(json.dumps(notes))}
    entry[_CHECKSUM] = np.array(_checksum(fingerprint, content, entry))
    try:
      with files.replacing(self._path(fingerprint, content)) as file:
        np.savez(file, **entry)
    except UserError as error:
      self._is_writable = False
      logging.warning("results are not kept for the next run: %s", error)

  def _path(self, fingerprint: str, content: str) -> pathlib.Path:
    return self._folder / fingerprint / f"{content}.npz"


def _checksum(
  fingerprint: str, content: str, entry: Mapping[str, np.ndarray]
) -> str:
  digest = hashlib.sha256(f"{fingerprint} {content}".encode())
  for name, array in sorted(entry.items()):
    digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
  return digest.hexdigest()
