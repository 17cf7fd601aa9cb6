"""One process at a time: locks on folders that are written to."""

import contextlib
import datetime
import fcntl
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from siren_jax.common import paths
from siren_jax.common.errors import UserError

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def exclusive(path: str | os.PathLike, what: str) -> Iterator[None]:
  """Holds lock file `path` within the block; removes it after.

  The kernel drops the lock of a process that ends, however it ends: what a
  killed one leaves behind is an unlocked file, and the next one takes it.

  Args:
    path: the lock file; its folder is made where there is none.
    what: what it guards, for the message.

  Raises:
    UserError: another process holds it (the message says which), or its
      folder cannot be written.
  """
  path = paths.local(path)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
  except OSError as error:
    raise UserError(
      f"{what}: cannot write ({error.strerror}); choose another folder"
    ) from error
  with _locked(path, what) as file:
    file.truncate(0)
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    file.write(f"process {os.getpid()} on {platform.node()} since {since}")
    file.flush()
    try:
      yield
    finally:
      path.unlink(missing_ok=True)  # while it is locked: it is still ours


@contextlib.contextmanager
def _locked(path: Path, what: str):
  while True:
    with path.open("a+") as file:
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
          "%s cannot be locked (%s): no other process may write to %s",
          path, error.strerror, what,
        )  # fmt: skip
      # Its holder may have removed it between our opening and locking it.
      if path.exists() and os.path.samestat(
        os.fstat(file.fileno()), path.stat()
      ):
        yield file
        return
