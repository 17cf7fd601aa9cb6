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
  """Signals raise `Interrupted`; unencodable text is escaped.

  Signals that are already handled or ignored (nohup) are left alone, as are all
  signals outside the main thread.
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
    if sys.stderr is None:  # closed: no bars, and no status among the results
      stack.callback(setattr, sys, "stderr", None)
      sys.stderr = stack.enter_context(open(os.devnull, "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):
      stack.callback(sys.stdout.reconfigure, errors=sys.stdout.errors)
      sys.stdout.reconfigure(errors="backslashreplace")
    yield


class _Stop:
  """Handlers that reliably turn a signal into `Interrupted`."""

  def __init__(self) -> None:
    self._repeats = Repeats()
    self._hook = sys.unraisablehook

  def on_signal(self, number: int, frame: FrameType | None) -> None:
    """Raises `Interrupted`, except for an immediate repeat of the signal."""
    if not self._repeats.is_repeat(number):
      raise Interrupted(number)

  def on_unraisable(self, unraisable: "sys.UnraisableHookArgs") -> None:
    """Handles exceptions that Python drops, as in JAX's garbage collection.

    If it was `Interrupted`, the signal is sent again for later.
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
  """Flushes standard output.

  Raises:
    OSError: it cannot be written; BrokenPipeError: its reader has closed it.
  """
  if sys.stdout:
    sys.stdout.flush()


def drop_unwritable() -> None:
  """Discards unwritable output, which Python would report at exit."""
  for stream in filter(None, (sys.stdout, sys.stderr)):
    try:
      stream.flush()
    except OSError:
      with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def report(message: str) -> None:
  """Prints one line to standard error, below any open progress bar."""
  tqdm = sys.modules.get("tqdm")  # no bars if it is not imported
  for bar in list(getattr(tqdm and tqdm.tqdm, "_instances", ())):
    bar.close()
  print(" ".join(f"siren-jax: {message}".split()), file=sys.stderr)
