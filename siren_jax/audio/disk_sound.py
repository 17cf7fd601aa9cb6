"""A sound stored on disk while it is generated, to save memory."""

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from siren_jax.common import files
from siren_jax.common.errors import UserError

_BYTES = np.dtype(np.float32).itemsize


class DiskSound:
  """Mono float32 samples in a file: `append` chunks, then read slices."""

  def __init__(self, file: BinaryIO, subject: str | os.PathLike):
    self._file, self._subject, self._size = file, subject, 0

  def __len__(self) -> int:
    return self._size

  def append(self, chunk_S: np.ndarray) -> None:
    """Adds samples at the end.

    Raises:
      UserError: some are not finite.
    """
    if not np.isfinite(chunk_S).all():
      raise UserError(
        f"{self._subject}: NaN or infinite samples; nothing written"
      )
    self._file.seek(self._size * _BYTES)
    self._file.write(np.ascontiguousarray(chunk_S, np.float32).data)
    self._size += len(chunk_S)

  def __getitem__(self, span: slice) -> np.ndarray:
    start, stop, step = span.indices(self._size)
    if step != 1:
      raise ValueError(f"step {step}: samples are read one after the other")
    self._file.seek(start * _BYTES)
    data = self._file.read(max(0, stop - start) * _BYTES)
    return np.frombuffer(data, np.float32)


@contextlib.contextmanager
def temporary(path: str | os.PathLike) -> Iterator[DiskSound]:
  """An empty temporary sound, on the disk of `path`.

  Raises:
    UserError: the disk is full or cannot be written.
  """
  with files.scratch(path) as file:
    yield DiskSound(file, path)
