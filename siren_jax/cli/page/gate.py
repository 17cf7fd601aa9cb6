"""Accepts work until the page closes, then lets running work finish."""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

from siren_jax.common.errors import UserError

_Value = TypeVar("_Value")


class Closed(UserError):
  """The page is closed."""


class Gate:
  """Counts running work: Python must not exit while a thread is in XLA."""

  def __init__(self) -> None:
    self._change = threading.Condition()
    self._inside, self._closed = 0, False

  @contextlib.contextmanager
  def inside(self, when_idle: bool = False) -> Iterator[None]:
    """Context for a block of work.

    Args:
      when_idle: wait until no other work is running.

    Raises:
      Closed: the page is closed.
    """
    with self._change:
      if when_idle:
        self._change.wait_for(lambda: self._closed or not self._inside)
      if self._closed:
        raise Closed("the page is closed; start siren-jax demo again")
      self._inside += 1
    try:
      yield
    finally:
      with self._change:
        self._inside -= 1
        self._change.notify_all()

  def steps(
    self, values: Iterable[_Value], when_idle: bool = False
  ) -> Iterator[_Value]:
    """The values, each computed inside; the gate may close in between."""
    following = iter(values)
    while True:
      with self.inside(when_idle):
        try:
          value = next(following)
        except StopIteration:
          return
      yield value

  def wait_until_idle(self, seconds: float) -> None:
    """Waits until nothing has run for `seconds`, or the gate is closed."""
    with self._change:
      # `wait` is true if work has finished meanwhile.
      while not self._closed and (self._change.wait(seconds) or self._inside):
        pass

  def close(self) -> None:
    """Refuses new work, and waits for running work to finish."""
    with self._change:
      self._closed = True
      self._change.notify_all()
      self._change.wait_for(lambda: not self._inside)
