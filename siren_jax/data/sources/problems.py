"""Bad rows and files of a source: what could not be used."""

import dataclasses

from absl import logging

from siren_jax.common.errors import UserError
from siren_jax.common.text import printable

_MAX_SHOWN = 3


@dataclasses.dataclass
class Problems:
  """Bad rows and files: counted, the first few shown, fatal when strict."""

  strict: bool = False
  messages: list[str] = dataclasses.field(default_factory=list)

  def add(self, message: str) -> None:
    message = printable(message)
    if self.strict:
      raise UserError(f"{message} (strict: the first problem ends the run)")
    self.messages.append(message)
    if len(self.messages) <= _MAX_SHOWN:
      logging.warning("skipped: %s", message)

  def summary(self) -> str:
    """One line for all of them, "" if there were none."""
    count = len(self.messages)
    return f"{count} skipped; first: {self.messages[0]}" if count else ""
