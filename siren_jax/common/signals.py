"""Repeated signals."""

import math
import time

# GNU timeout sends a signal to a process and again to its group.
_SAME_SECONDS = 1.0


class Repeats:
  """Distinguishes a signal delivered twice from a second signal.

  The time is measured from the last signal that was not a repeat, so that a key
  held down eventually counts as a second signal.
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
    """Forgets all signals: the next one is not a repeat."""
    self._since.clear()
