"""What the verbs share: compilation cache, compile time, output checks."""

import argparse
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from siren_jax.common import paths, sniff
from siren_jax.common.errors import UserError


def path(text: str) -> str:
  """The argparse type of a path: one on this machine."""
  try:
    paths.local(text)
  except UserError as error:  # argparse puts the argument's name to it.
    raise argparse.ArgumentTypeError(str(error)) from error
  return text


def notes(file: str | None) -> str | None:
  """The Markdown of --notes, if it was given.

  Raises:
    UserError: it is not UTF-8.
  """
  if file is None:
    return None
  try:
    return pathlib.Path(file).read_text("utf-8-sig")
  except UnicodeDecodeError as error:
    raise UserError(
      f"{file}: {sniff.describe(file) or 'not UTF-8 text'}; save it as plain"
      " text in UTF-8"
    ) from error


def use_compilation_cache() -> None:
  """Keeps compiled programs in the user's cache folder between commands.

  JAX's own variables steer it: JAX_COMPILATION_CACHE_DIR moves it,
  JAX_ENABLE_COMPILATION_CACHE=false switches it off.
  """
  import jax
  import platformdirs

  if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    folder = platformdirs.user_cache_path("siren-jax") / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def join(others: str) -> None:
  """Makes this process one of several; before JAX sees any device.

  Args:
    others: "auto" on a TPU pod, under SLURM or on Kubernetes; elsewhere
      "HOST:PORT,COUNT,INDEX": where process 0 is, how many there are, and
      which one this is.

  Raises:
    UserError: it is neither, or the others are not found.
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
      jax.distributed.initialize(address, *map(int, numbers))
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

  def _add(self, event: str, duration: float, **_) -> None:
    """Counts what no event inside this one has counted before."""
    if event.startswith("/jax/core/compile/"):
      now = time.perf_counter()
      self.seconds += min(duration, now - self._counted_until)
      self._counted_until = now


def check_folder(folder: str | os.PathLike) -> pathlib.Path:
  """Proves that `folder` can be written or made, and leaves no trace.

  Raises:
    UserError: it cannot; better told before the work than after it.
  """
  folder = pathlib.Path(folder)
  home = folder.absolute()
  while not home.exists():
    home = home.parent
  try:
    with tempfile.TemporaryFile(dir=home):
      return folder
  except OSError as error:
    raise UserError(
      f"cannot write to {folder} ({error.strerror}); choose another output"
    ) from error


def check_file(path: str | os.PathLike, suffix: str) -> pathlib.Path:
  """Proves that a file `path` can be written, as `check_folder` does."""
  path = pathlib.Path(path)
  if path.suffix.lower() != suffix:
    raise UserError(f"{path}: expected a file name ending in {suffix}")
  if path.is_dir():
    raise UserError(f"{path} is a folder; name a {suffix} file to write")
  check_folder(path.parent)
  return path


def targets(
  sources: Sequence[str], out: str, suffix: str
) -> list[pathlib.Path]:
  """The file to write for each source: `out` itself, or in folder `out`."""
  if out.lower().endswith(suffix):
    if len(sources) > 1:
      raise UserError(
        f"--out {out} is one file for {len(sources)} inputs; name a folder"
      )
    return [check_file(out, suffix)]
  folder = check_folder(out)
  paths = [folder / (pathlib.Path(s).stem + suffix) for s in sources]
  for i, path in enumerate(paths):
    if path in paths[:i]:
      raise UserError(
        f"two inputs would both be written to {path}; give them one at a time"
      )
  return paths


def say(message: str) -> None:
  """Tells the user what goes on; standard output is kept for results."""
  print(message, file=sys.stderr, flush=True)


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
  """The arguments that were given; the others keep their config's default."""
  values = {name: getattr(args, name) for name in names}
  return {name: v for name, v in values.items() if v is not None}
