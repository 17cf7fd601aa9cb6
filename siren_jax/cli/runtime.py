"""Shared by the commands: compilation cache, compile time, output checks."""

import argparse
import contextlib
import os
import pathlib
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from siren_jax.cli import outputs
from siren_jax.common import files, paths
from siren_jax.common.errors import UserError

NOTHING_WRITTEN = "nothing was written; run the same command again"
SAMPLING_FLAGS = ("temperature", "top_k", "top_p", "guidance")
NONE = "none"  # turns a setting off

# With letters: run-0.5 is a folder.
_FILE_SUFFIX = re.compile(r"\.([A-Za-z]{2}|(?=.*[A-Za-z])\w{3,4})")


def path(text: str) -> str:
  """The argparse type of a local path."""
  try:
    paths.local(text)
  except UserError as error:  # argparse adds the argument's name
    raise argparse.ArgumentTypeError(str(error)) from error
  return text


def join(others: str) -> None:
  """Makes this process one of several; call before JAX initialises devices.

  Args:
    others: "auto" on a TPU pod, under SLURM or on Kubernetes; elsewhere
      "HOST:PORT,COUNT,INDEX": address of process 0, number of processes, and
      index of this one.

  Raises:
    UserError: it is neither, or the others cannot be reached.
  """
  import jax

  address, *numbers = others.split(",")
  if others != "auto" and (
    len(numbers) != 2 or not all(n.isdigit() for n in numbers)
  ):
    raise UserError(
      f"--distributed {others}: expected HOST:PORT,COUNT,INDEX, such as"
      " 10.0.0.1:8476,4,0, or nothing where JAX finds the processes by itself"
    )
  try:
    if others == "auto":
      jax.distributed.initialize()
    else:
      count, index = map(int, numbers)
      jax.distributed.initialize(address, count, index)
  except (RuntimeError, ValueError) as error:
    raise UserError(
      f"--distributed {others}: {error}; see launch/ for how to start several"
      " processes"
    ) from error


class CompileClock:
  """Seconds that JAX has spent on tracing and compiling since it was made."""

  def __init__(self) -> None:
    import jax

    self.seconds = 0.0
    self._counted_until = time.perf_counter()
    jax.monitoring.register_event_duration_secs_listener(self._add)

  def _add(self, event: str, duration_secs: float, **_: str | int) -> None:
    """Adds the time of an event, without that of nested events."""
    if event.startswith("/jax/core/compile/"):
      now = time.perf_counter()
      self.seconds += min(duration_secs, now - self._counted_until)
      self._counted_until = now


class SecondsBar:
  """A progress bar in seconds of sound, for the block."""

  def __init__(self, total: float | None):
    """A bar of `total` seconds; None: endless."""
    from tqdm.auto import tqdm

    end = "" if total is None else "/{total:.1f}"
    left = "" if total is None else "<{remaining}"
    # tqdm's own rate is inverted below one per second.
    form = f"{{n:.1f}}{end} s of sound [{{elapsed}}{left}, {{rate_noinv_fmt}}]"
    if total is not None:
      form = "{percentage:3.0f}%|{bar}| " + form
    self._bar = tqdm(total=total, unit="s", bar_format=form, disable=None)

  def __enter__(self) -> "SecondsBar":
    return self

  def __exit__(self, *_: object) -> None:
    self._bar.close()

  def add(self, seconds: float) -> None:
    """Adds drawn seconds; the last frame may end after the sound."""
    if self._bar.total is not None:
      seconds = min(seconds, self._bar.total - self._bar.n)
    self._bar.update(seconds)

  def write(self, line: str) -> None:
    """Prints a line above the bar."""
    self._bar.write(line)


def check_folder(folder: str | os.PathLike) -> pathlib.Path:
  """Checks that `folder` can be written or created, without side effects.

  Raises:
    UserError: it cannot; raised before the work rather than after it.
  """
  folder = paths.local(folder)
  try:
    with tempfile.TemporaryFile(dir=files.nearest(folder)):
      return folder
  except OSError as error:
    raise UserError(
      f"cannot write to {folder} ({error.strerror}); choose another output"
    ) from error


def check_file(path: str | os.PathLike, *suffixes: str) -> pathlib.Path:
  """Checks that file `path` can be written, like `check_folder`."""
  path = paths.local(path)
  known = " or ".join(suffixes)
  if path.suffix.lower() not in suffixes:
    raise UserError(f"{path}: expected a file name ending in {known}")
  if path.is_dir():
    raise UserError(f"{path} is a folder; name a {known} file to write")
  check_folder(path.parent)
  return path


def targets(
  sources: Sequence[str], out: str, *suffixes: str
) -> list[pathlib.Path]:
  """The file to write for each source: `out` itself, or in folder `out`.

  Args:
    suffixes: of the file that `out` may be; the first one is that of the
      files in a folder.

  Raises:
    UserError: `out` cannot be written, has another suffix, or is one file for
      several sources.
  """
  if names_file(out):
    if pathlib.Path(out).suffix.lower() not in suffixes:
      raise UserError(
        f"--out {out}: a file name must end in {' or '.join(suffixes)}, a"
        f" folder name in {os.sep}"
      )
    path = check_file(out, *suffixes)
    if len(sources) > 1:
      raise UserError(
        f"--out {out} is one file for {len(sources)} inputs; name a folder"
      )
    return [path]
  folder = check_folder(out)
  paths = [folder / (pathlib.Path(s).stem + suffixes[0]) for s in sources]
  for i, path in enumerate(paths):
    if path in paths[:i]:
      raise UserError(
        f"two inputs would both be written to {path}; give them one at a time"
      )
  return paths


def names_file(out: str) -> bool:
  """Whether `out` names a file: not an existing folder, and with a suffix.

  A name that ends with a slash is a folder.
  """
  return not (
    out.endswith(os.sep)
    or os.path.isdir(out)
    or not _FILE_SUFFIX.fullmatch(pathlib.Path(out).suffix)
  )


def each(
  sources: Sequence[str],
  paths: Sequence[pathlib.Path],
  work: Callable[[str, pathlib.Path], str],
) -> list[pathlib.Path]:
  """Processes all sources, each with its output file.

  Args:
    work: writes the file and returns a line about it. No file is replaced: a
      number is added to a name that is taken.

  Returns:
    The files that were written.

  Raises:
    UserError: some of them failed; the others were processed.
  """
  failures, written = [], []
  for source, requested in zip(sources, paths, strict=True):
    try:
      with new_file(requested) as path:
        line = work(source, path)
      print(line)  # The file is kept even if printing fails.
      written.append(path)
    except UserError as error:
      if len(sources) > 1:
        print_status(f"skipped: {error}")
      failures.append(error)
  if len(sources) == len(failures) == 1:
    raise failures[0]
  if failures:
    raise UserError(
      f"{len(failures)} of {len(sources)} inputs were skipped, such as"
      f" {failures[0]}"
    )
  return written


@contextlib.contextmanager
def new_file(requested: pathlib.Path) -> Iterator[pathlib.Path]:
  """`outputs.reserved`, with a message if the name differs."""
  with outputs.reserved(requested) as path:
    yield path
  if path != requested:
    print_status(f"{requested} already exists; wrote {path} instead")


def print_status(message: str) -> None:
  """Prints a status message to stderr; standard output is for results."""
  print(message, file=sys.stderr, flush=True)


def print_examples(data_set: str | os.PathLike) -> None:
  """Prints a few captions of a prepared set."""
  from siren_jax.data.sets import contents

  print("captions, for example:")
  for line in contents.examples(data_set):
    print(f"  {line}")


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
  """The arguments that were given; others keep their config's defaults."""
  values = {name: getattr(args, name) for name in names}
  return {name: v for name, v in values.items() if v is not None}


def sampling(args: argparse.Namespace) -> dict[str, Any]:
  """The sampling settings that were given; None for one that is "none"."""
  values = given(args, *SAMPLING_FLAGS)
  return {name: None if v == NONE else v for name, v in values.items()}
