"""How a command handles its environment: signals, pipes, terminals."""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from siren_jax.common.signals import Repeats

_SIGNALS = {
  signal.SIGINT: signal.default_int_handler,
  signal.SIGTERM: signal.SIG_DFL,
  signal.SIGHUP: signal.SIG_DFL,
}
_AGAIN_SECONDS = 0.02


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
  stop = _Stop()
  with contextlib.ExitStack() as stack:
    for number, handler in _SIGNALS.items():
      if signal.getsignal(number) == handler:
        with contextlib.suppress(ValueError):  # not the main thread
          previous = signal.signal(number, stop.on_signal)
          stack.callback(signal.signal, number, previous)
    stack.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
    sys.unraisablehook = stop.on_unraisable
    if isinstance(sys.stdout, io.TextIOWrapper):
      stack.callback(sys.stdout.reconfigure, errors=sys.stdout.errors)
      sys.stdout.reconfigure(errors="backslashreplace")
    yield


class _Stop:
  """Handlers that turn a signal into `Interrupted`, where it is not lost."""

  def __init__(self) -> None:
    self._repeats = Repeats()
    self._hook = sys.unraisablehook

  def on_signal(self, number: int, frame: FrameType | None) -> None:
    """Raises; but the same signal, sent again at once, is no other."""
    if not self._repeats.is_repeat(number):
      raise Interrupted(number)

  def on_unraisable(self, unraisable: "sys.UnraisableHookArgs") -> None:
    """Python dropped an exception, as in JAX's callback at garbage collection.

    If it was ours, the signal is sent again, for when that is over.
    """
    error = unraisable.exc_value
    if not isinstance(error, Interrupted):
      self._hook(unraisable)
      return
    self._repeats.clear()
    main = threading.main_thread().ident
    again = threading.Timer(
      _AGAIN_SECONDS, signal.pthread_kill, (main, error.number)
    )
    again.daemon = True
    again.start()


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
