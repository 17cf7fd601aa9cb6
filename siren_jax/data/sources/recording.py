"""A recording as its source describes it, and what could not be used."""

import dataclasses
from pathlib import Path

from absl import logging

from siren_jax.common.errors import UserError
from siren_jax.common.text import printable

MAX_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Recording:
  """A sound file and what its source says about it ("" = nothing).

  Attributes:
    id: its path, relative to its source; unique within a source.
    path: where the file is.
    captions: given in words by the source.
    category: class name, such as "dog bark".
    title: what the recordist called it, or the name of an instrument sound.
    section: group of instrument sounds, such as "Hi-hats".
    split: "train", "validation" or "".
    fold: cross-validation fold, or "".
  """

  id: str
  path: Path
  captions: tuple[str, ...] = ()
  category: str = ""
  title: str = ""
  section: str = ""
  split: str = ""
  fold: str = ""


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
    if len(self.messages) <= MAX_SHOWN:
      logging.warning("skipped: %s", message)

  def summary(self) -> str:
    """One line for all of them, "" if there were none."""
    count = len(self.messages)
    return f"{count} skipped; first: {self.messages[0]}" if count else ""
