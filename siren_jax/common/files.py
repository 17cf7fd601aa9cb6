"""Files that are written whole or not at all."""

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

# What is wrong with a disk, whoever writes to it.
_DISK_ERRORS = (
  errno.ENOSPC,
  errno.EDQUOT,
  errno.EFBIG,
  errno.EIO,
  errno.EROFS,
)
_NAME_BYTES = 230  # of the 255 that a name may have

# What zipfile, zlib and NumPy raise at broken files.
_NPZ_ERRORS = (
  OSError,
  ValueError,
  TypeError,
  KeyError,
  EOFError,
  MemoryError,
  OverflowError,
  RuntimeError,  # encrypted, or a compression that is not known
  struct.error,
  zipfile.BadZipFile,
  zlib.error,
)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
  """A binary file that takes the place of `path` when the block ends well.

  `path` is as it was before where it ends badly.

  Raises:
    UserError: it cannot be written. Other errors of the block are its own.
  """
  path = paths.local(path)
  # Random, since processes of several machines may write it at once, and
  # without the name of `path`, which may have 255 bytes already.
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
      temporary.chmod(mode)  # safetensors puts a private file in its place.
      temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(
  path: Path, numbers: Collection[int] | None = None
) -> Iterator[None]:
  """Says that `path` cannot be written, at OSErrors of these numbers or all."""
  try:
    yield
  except OSError as error:
    if numbers is None or error.errno in numbers:
      raise _unwritable(path, error) from error
    raise


def nearest(folder: Path) -> Path:
  """`folder`, or the nearest one above it that is there."""
  home = folder.absolute()
  while not home.exists():
    home = home.parent
  return home


@contextlib.contextmanager
def scratch(path: str | os.PathLike) -> Iterator[BinaryIO]:
  """A binary file without a name, on the disk where `path` is to be.

  It goes when the block ends, and no folder is made for it.

  Raises:
    UserError: the disk cannot be written. Other errors of the block are its
      own.
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
  """`path`, or with the first number (rain-2.wav) that no file has, reserved.

  Empty files hold the name against other processes. Where the block ends
  badly, all that has the name goes again.

  Args:
    sidecars: suffixes of other files that the block writes under the name.
    others: suffixes that no file of the name has either.

  Raises:
    UserError: the place cannot be written to.
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
  """As much of a name as leaves room for what is put to it."""
  return os.fsencode(name)[:_NAME_BYTES].decode(errors="ignore")


def _reserve(
  path: Path, sidecars: Sequence[str], others: Sequence[str]
) -> bool:
  """Makes empty files of one name, unless a file has it."""
  # Those beside first: rain.wav and rain.ogg both want rain.json.
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
    # Only now: of two processes at once, one sees the other's files. Where case
    # does not matter, x.WAV is x.wav.
    ours = {None, *map(_identity, reserved)}
    is_free = all(_identity(path.with_suffix(s)) in ours for s in others)
    return is_free
  finally:
    if not is_free:
      for own in reserved:
        own.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
  """Says whether two names are of one file; None: there is none."""
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


@contextlib.contextmanager
def new_folder(folder: str | os.PathLike) -> Iterator[Path]:
  """A folder that takes its name when the block ends well: all or nothing.

  `folder` must not be there yet, or be empty.
  """
  folder = paths.local(folder)
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
  """What JSON says; numbers are finite, keys differ.

  Args:
    to_object: makes an object of (key, value), in place of a dictionary.

  Raises:
    ValueError, RecursionError: it is no such JSON.
  """
  return json.loads(
    content,
    object_pairs_hook=to_object or _different,
    parse_constant=_finite,
    parse_float=_finite,
  )


def read_json(path: str | os.PathLike, remedy: str) -> Any:
  """A JSON file's content; numbers are finite, keys differ.

  Raises:
    UserError: it is missing or broken; the message ends with `remedy`.
  """
  local = paths.local(path)
  try:
    # json sees the encoding, and any mark of it.
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
    raise ValueError(f"key {duplicate!r} is there twice")
  return values


def _finite(text: str) -> float:
  value = float(text)
  if not math.isfinite(value):
    raise ValueError(f"{text} is not a finite number")
  return value


def read_npz(path: str | os.PathLike, remedy: str) -> dict[str, Any]:
  """All arrays of an npz; pickles are refused.

  Raises:
    UserError: it is missing or broken; the message ends with `remedy`.
  """
  import numpy as np  # `siren-jax --help` does without.

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
