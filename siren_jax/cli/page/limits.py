"""Request validation and limits: requests are untrusted."""

import dataclasses
import os
import pathlib
import reprlib
from collections.abc import Mapping
from typing import Any

from siren_jax.common import text
from siren_jax.common.errors import UserError

SECONDS = 30.0  # of a sound, or of the continuation of a recording
LETTERS = 300  # characters of a description
SOUNDS = 8  # to choose from
SEED = 2**32 - 1
RECORDING_SECONDS = 30.0
UPLOAD_BYTES = 20 * 1024**2  # of a recording
REQUEST_BYTES = 64 * 1024  # of any other request
WAITING = 16  # requests in the queue
AT_ONCE = 2  # requests that are worked on
SESSIONS = 64  # whose inputs the server remembers
KEPT_SECONDS = 3600  # of files: uploads, and sounds that were made

_NAME_LETTERS = 255  # the most that file systems take


@dataclasses.dataclass(frozen=True)
class Request:
  """A checked request.

  Attributes:
    words: the prompt; "" for none, which needs a recording.
    seconds: of each sound, or of the continuation of a recording.
    seed: of all sounds.
    sounds: number of candidates.
    settings: fields of `SamplingConfig`; the sampler checks their range.
  """

  words: str
  seconds: float
  seed: int
  sounds: int
  settings: Mapping[str, Any]


def check_request(
  words: Any,
  seconds: Any,
  seed: Any,
  sounds: Any,
  temperature: Any,
  top_k: Any,
  guidance: Any,
) -> Request:
  """Checks a request.

  Raises:
    UserError: a value has the wrong type or is out of range.
  """
  if words is None:
    words = ""
  if not isinstance(words, str):
    raise UserError(f"words {_shown(words)}: give one string")
  if len(words) > LETTERS:
    raise UserError(
      f"words: {len(words)} characters; give at most {LETTERS}, such as"
      ' "a dog barking"'
    )
  if not text.is_text(words):
    raise UserError(f"words {_shown(words)}: not valid Unicode text")
  return Request(
    words=text.normal(" ".join(words.split())),
    seconds=number("seconds", seconds, 0.1, SECONDS),
    seed=integer("seed", seed, 0, SEED),
    sounds=integer("candidates", sounds, 1, SOUNDS),
    settings={
      "temperature": number("temperature", temperature, 1e-6, 1e6),
      # Number fields cannot be empty: 0 means none.
      "top_k": integer("top_k", _or_0(top_k), 0, 2**31 - 1) or None,
      "guidance": number("guidance", _or_0(guidance), 0, 100) or None,
    },
  )


def number(name: str, value: Any, low: float, high: float) -> float:
  """A number within its limits.

  Raises:
    UserError: not a number, or out of range.
  """
  is_number = isinstance(value, int | float) and not isinstance(value, bool)
  # NaN fails the comparison.
  if not is_number or not low <= value <= high:
    raise UserError(
      f"{name} {_shown(value)}: give a number from {low:g} to {high:g}"
    )
  return float(value)


def integer(name: str, value: Any, low: int, high: int) -> int:
  """Like `number`, for integers; accepts 3.0, which browsers send."""
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  if (
    not isinstance(value, int)
    or isinstance(value, bool)
    or not low <= value <= high
  ):
    raise UserError(
      f"{name} {_shown(value)}: give a whole number from {low} to {high}"
    )
  return value


def check_files(value: Any, folder: str | os.PathLike) -> None:
  """Checks that all files in a request, however nested, were uploaded.

  Args:
    value: JSON values; a file is an object with a "path".
    folder: of uploads.

  Raises:
    UserError: a path is a URL, or outside the folder.
  """
  waiting = [value]
  while waiting:
    value = waiting.pop()
    if isinstance(value, dict):
      if "path" in value:
        _check_path(value["path"], pathlib.Path(folder))
      waiting += value.values()
    elif isinstance(value, list):
      waiting += value


def upload(value: Any) -> tuple[pathlib.Path, str]:
  """Path of an uploaded file, and its original name.

  Args:
    value: Gradio's description of a file, after `check_files`.

  Raises:
    UserError: not an uploaded file, or the file is gone.
  """
  if value is None:
    raise UserError("no recording; upload one, or record one")
  path = value.get("path") if isinstance(value, dict) else None
  if not isinstance(path, str):
    raise UserError(f"recording {_shown(value)}: upload a file")
  name = value.get("orig_name") or path
  if not isinstance(name, str):
    raise UserError(f"recording: name {_shown(name)}; give a string")
  name = pathlib.PurePath(name.replace("\\", "/")).name[-_NAME_LETTERS:]
  try:
    is_file = pathlib.Path(path).is_file()
  except (OSError, ValueError):  # a name too long, a null byte
    is_file = False
  if not is_file:
    raise UserError(f"recording {_shown(name)}: not there; upload it again")
  return pathlib.Path(path), name or "recording"


def _check_path(path: Any, folder: pathlib.Path) -> None:
  try:
    inside = pathlib.Path(path).resolve().is_relative_to(folder.resolve())
  except (OSError, RuntimeError, TypeError, ValueError):
    inside = False
  if not inside:
    raise UserError(f"recording {_shown(path)}: not an upload; upload a file")


def _or_0(value: Any) -> Any:
  return 0 if value is None else value


def _shown(value: Any) -> str:
  """A value of any size in one short line."""
  try:
    return " ".join(reprlib.repr(value).split())
  except ValueError:  # Python writes no whole number of over 4,300 digits.
    return "of too many digits"
