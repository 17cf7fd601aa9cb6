"""Signals that come twice."""

import math
import time

# GNU timeout sends a signal to a process and again to its group.
_SAME_SECONDS = 1.0


class Repeats:
  """Tells a signal that is sent twice at once from a second one.

  A repeat is counted from the last signal that was none, so a key held down
  is a second signal in the end.
  """

  def __init__(self) -> None:
    self._since: dict[int, float] = {}

  def is_repeat(self, number: int) -> bool:
    """Whether signal `number`, received now, was received just before."""
    now = time.monotonic()
    if now - self._since.get(number, -math.inf) <= _SAME_SECONDS:
      return True
    self._since[number] = now
    return False

  def clear(self) -> None:
    """Forgets all signals: none that follows is a repeat."""
    self._since.clear()
