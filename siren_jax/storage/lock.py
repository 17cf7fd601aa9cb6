"""Locks on folders that only one process may write to at a time."""

import contextlib
import datetime
import fcntl
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from siren_jax.common import paths
from siren_jax.common.errors import UserError

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def exclusive(path: str | os.PathLike, what: str) -> Iterator[None]:
  """Holds lock file `path` within the block; removes it afterwards.

  The kernel releases the lock of a process that ends in any way: a killed one
  leaves an unlocked file, which the next one can lock.

  Args:
    path: the lock file; its folder is created if missing, and finally removed
      if empty.
    what: what it protects, for the message.

  Raises:
    UserError: another process holds it (the message says which), or its
      folder cannot be written.
  """
  path = paths.local(path)
  new = [folder for folder in path.parents if not folder.exists()]
  with _locked(path, what) as file:
    file.truncate(0)
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    file.write(f"process {os.getpid()} on {platform.node()} since {since}")
    file.flush()
    try:
      yield
    finally:
      path.unlink(missing_ok=True)  # while it is still locked by us
      with contextlib.suppress(OSError):  # Folders are usually not empty.
        for folder in new:
          folder.rmdir()


@contextlib.contextmanager
def _locked(path: Path, what: str) -> Iterator[IO[str]]:
  while True:
    with _opened(path, what) as file:
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError as error:
        file.seek(0)
        holder = file.read() or "another process"
        raise UserError(
          f"{what} is in use by {holder} ({path}); wait until it has ended, or"
          " choose another folder"
        ) from error
      except OSError as error:
        _log.warning(
          "%s cannot be locked (%s); make sure no other process writes to %s",
          path, error.strerror, what,
        )  # fmt: skip
      # Its holder may have removed it between our opening and locking it.
      if _is_at(path, file):
        yield file
        return


def _opened(path: Path, what: str) -> IO[str]:
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a+")
  except OSError as error:
    raise UserError(
      f"{what}: cannot write ({error.strerror}); choose another folder"
    ) from error


def _is_at(path: Path, file: IO[str]) -> bool:
  try:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())
  except FileNotFoundError:
    return False
