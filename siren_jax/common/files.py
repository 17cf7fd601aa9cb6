"""Files that are written atomically: completely or not at all."""

import contextlib
import errno
import json
import math
import os
import secrets
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from siren_jax.common import paths, sniff
from siren_jax.common.errors import UserError

# Errors of the disk, independent of the writer.
_DISK_ERRORS = (
  errno.ENOSPC,
  errno.EDQUOT,
  errno.EFBIG,
  errno.EIO,
  errno.EROFS,
)
_NAME_BYTES = 230  # of the 255 that a name may have

# Exceptions of zipfile, zlib and NumPy for broken files.
_NPZ_ERRORS = (
  OSError,
  ValueError,
  TypeError,
  KeyError,
  EOFError,
  MemoryError,
  OverflowError,
  RuntimeError,  # encrypted, or unknown compression
  struct.error,
  zipfile.BadZipFile,
  zlib.error,
)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
  """A binary file that replaces `path` if the block succeeds.

  If the block fails, `path` is unchanged.

  Raises:
    UserError: it cannot be written. Other errors of the block propagate.
  """
  path = paths.local(path)
  # Random, because processes of several machines may write at once; without the
  # name of `path`, which may already have 255 bytes.
  temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
  with _writing(path):
    path.parent.mkdir(parents=True, exist_ok=True)
  try:
    with _writing(path):
      file = temporary.open("wb")
    with _writing(path, _DISK_ERRORS), file:
      mode = os.fstat(file.fileno()).st_mode
      yield file
    with _writing(path):
      temporary.chmod(mode)  # safetensors creates a private file.
      temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(
  path: Path, numbers: Collection[int] | None = None
) -> Iterator[None]:
  """Turns OSErrors, all or of these numbers, into a UserError about `path`."""
  try:
    yield
  except OSError as error:
    if numbers is None or error.errno in numbers:
      raise _unwritable(path, error) from error
    raise


def nearest(folder: Path) -> Path:
  """`folder`, or its nearest existing parent."""
  home = folder.absolute()
  while not home.exists():
    home = home.parent
  return home


@contextlib.contextmanager
def scratch(path: str | os.PathLike) -> Iterator[BinaryIO]:
  """A temporary unnamed binary file, on the disk of `path`.

  It is deleted when the block ends; no folder is created.

  Raises:
    UserError: the disk cannot be written. Other errors of the block propagate.
  """
  path = paths.local(path)
  with _writing(path):
    file = tempfile.TemporaryFile(dir=nearest(path.parent))
  with _writing(path, _DISK_ERRORS), file:
    yield file


@contextlib.contextmanager
def unused(
  path: str | os.PathLike,
  sidecars: Sequence[str] = (),
  others: Sequence[str] = (),
) -> Iterator[Path]:
  """Reserves `path`, or the first numbered name that is free (rain-2.wav).

  Empty files reserve the name against other processes. If the block fails, all
  files of this name are deleted.

  Args:
    sidecars: suffixes of other files that the block writes under the name.
    others: suffixes that files of this name must not have either.

  Raises:
    UserError: the folder cannot be written to.
  """
  first = path = paths.local(path)
  with _writing(path):
    path.parent.mkdir(parents=True, exist_ok=True)
  number = 1
  while not _reserve(path, sidecars, others):
    number += 1
    path = first.with_name(f"{_short(first.stem)}-{number}{first.suffix}")
  try:
    yield path
  except BaseException:
    for suffix in (path.suffix, *sidecars):
      path.with_suffix(suffix).unlink(missing_ok=True)
    raise


def _short(name: str) -> str:
  """A name, shortened to leave room for additions."""
  return os.fsencode(name)[:_NAME_BYTES].decode(errors="ignore")


def _reserve(
  path: Path, sidecars: Sequence[str], others: Sequence[str]
) -> bool:
  """Creates empty files of one name; false if the name is taken."""
  # Sidecars first: rain.wav and rain.ogg both need rain.json.
  all_paths = [*map(path.with_suffix, sidecars), path]
  reserved: list[Path] = []
  is_free = False
  try:
    with _writing(path):
      for own in all_paths:
        try:
          own.touch(exist_ok=False)
        except FileExistsError:
          return False
        reserved.append(own)
    # Checked last: of two concurrent processes, one sees the other's files. If
    # names are case-insensitive, x.WAV is x.wav.
    ours = {None, *map(_identity, reserved)}
    is_free = all(_identity(path.with_suffix(s)) in ours for s in others)
    return is_free
  finally:
    if not is_free:
      for own in reserved:
        own.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
  """Device and inode, to compare files; None: there is no file."""
  try:
    stat = path.lstat()
  except OSError:
    return None
  return stat.st_dev, stat.st_ino


def _unwritable(path: Path, error: OSError) -> UserError:
  return UserError(
    f"{path}: cannot write ({error.strerror or error}); free space or choose"
    " another place"
  )


def check_replaceable(folder: Path) -> None:
  """Checks that a finished folder can get the name.

  Raises:
    UserError: it is the current folder or a mount point.
  """
  if folder.exists() and folder.resolve() == Path.cwd():
    what = "the current folder"
  elif os.path.ismount(folder):
    what = "a mount point"
  else:
    return
  raise UserError(
    f"{folder} is {what}, which cannot be replaced; give a folder in it"
  )


@contextlib.contextmanager
def new_folder(folder: str | os.PathLike) -> Iterator[Path]:
  """A folder that gets its name if the block succeeds.

  `folder` must not exist or be empty; it may be a link to such a folder.
  """
  folder = paths.local(folder).resolve()
  folder.parent.mkdir(parents=True, exist_ok=True)
  temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
  try:
    yield temporary
    temporary.chmod(0o755)
    os.replace(temporary, folder)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def parse_json(
  content: str | bytes,
  to_object: Callable[[Sequence[tuple[str, Any]]], Any] | None = None,
) -> Any:
  """Parses JSON; numbers must be finite, keys unique.

  Args:
    to_object: builds an object from (key, value) pairs instead of a dictionary.

  Raises:
    ValueError, RecursionError: invalid JSON.
  """
  return json.loads(
    content,
    object_pairs_hook=to_object or _different,
    parse_constant=_finite,
    parse_float=_finite,
  )


def read_json(path: str | os.PathLike, remedy: str) -> Any:
  """Content of a JSON file; numbers must be finite, keys unique.

  Raises:
    UserError: it is missing or broken; the message ends with `remedy`.
  """
  local = paths.local(path)
  try:
    # json detects the encoding and a byte order mark.
    return parse_json(local.read_bytes())
  except (FileNotFoundError, NotADirectoryError) as error:
    raise UserError(f"{path}: no such file; {remedy}") from error
  except OSError as error:
    raise UserError(
      f"{path}: cannot be read ({error.strerror}); {remedy}"
    ) from error
  except (ValueError, RecursionError) as error:
    raise UserError(
      f"{path}: not JSON ({sniff.describe(path) or error}); {remedy}"
    ) from error


def _different(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
  values = dict(pairs)
  if len(values) < len(pairs):
    keys = [key for key, _ in pairs]
    duplicate = next(key for key in keys if keys.count(key) > 1)
    raise ValueError(f"duplicate key {duplicate!r}")
  return values


def _finite(text: str) -> float:
  value = float(text)
  if not math.isfinite(value):
    raise ValueError(f"{text} is not a finite number")
  return value


def read_npz(path: str | os.PathLike, remedy: str) -> dict[str, Any]:
  """All arrays of an npz file; pickles are refused.

  Raises:
    UserError: it is missing or broken; the message ends with `remedy`.
  """
  import numpy as np  # not needed by `siren-jax --help`

  local = paths.local(path)
  try:
    with np.load(local, allow_pickle=False) as file:
      return dict(file)
  except (FileNotFoundError, NotADirectoryError) as error:
    raise UserError(f"{path}: no such file; {remedy}") from error
  except _NPZ_ERRORS as error:
    reason = sniff.describe(path, expected=b"PK") or (
      " ".join(str(error).split()) or type(error).__name__
    )
    raise UserError(f"{path}: not a valid npz ({reason}); {remedy}") from error
