"""How a command gets on with its surroundings: signals, pipes, terminals."""

import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType

_SIGNALS = {
  signal.SIGINT: signal.default_int_handler,
  signal.SIGTERM: signal.SIG_DFL,
  signal.SIGHUP: signal.SIG_DFL,
}
# GNU timeout sends a signal to a process and again to its group.
_SAME_SECONDS = 1.0


class Interrupted(KeyboardInterrupt):
  """A signal that ends the command; every `finally` runs."""

  def __init__(self, number: int):
    super().__init__(number)
    self.number = number


@contextlib.contextmanager
def attached() -> Iterator[None]:
  """Signals raise `Interrupted`; text that the terminal lacks is escaped.

  A signal that someone else handles or ignores (nohup) is left alone, and all
  of them outside of the main thread.
  """
  with contextlib.ExitStack() as stack:
    for number, handler in _SIGNALS.items():
      if signal.getsignal(number) == handler:
        with contextlib.suppress(ValueError):  # not the main thread
          previous = signal.signal(number, _Raise())
          stack.callback(signal.signal, number, previous)
    if isinstance(sys.stdout, io.TextIOWrapper):
      stack.callback(sys.stdout.reconfigure, errors=sys.stdout.errors)
      sys.stdout.reconfigure(errors="backslashreplace")
    yield


class _Raise:
  """A handler; the same signal, sent again at once, is no other."""

  def __init__(self) -> None:
    self._last = -_SAME_SECONDS

  def __call__(self, number: int, frame: FrameType | None) -> None:
    before, self._last = self._last, time.monotonic()
    if self._last - before > _SAME_SECONDS:
      raise Interrupted(number)


def flush() -> None:
  """Writes what standard output still holds.

  Raises:
    OSError: it cannot be written; BrokenPipeError: nobody reads it any more.
  """
  if sys.stdout:
    sys.stdout.flush()


def drop_unwritable() -> None:
  """Forgets output that cannot be written, else Python tells of it at exit."""
  for stream in filter(None, (sys.stdout, sys.stderr)):
    try:
      stream.flush()
    except OSError:
      with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def report(message: str) -> None:
  """One line on standard error, below any progress bar that is still open."""
  tqdm = sys.modules.get("tqdm")  # Without it there are no bars.
  for bar in list(getattr(tqdm and tqdm.tqdm, "_instances", ())):
    bar.close()
  print(" ".join(f"siren-jax: {message}".split()), file=sys.stderr)
