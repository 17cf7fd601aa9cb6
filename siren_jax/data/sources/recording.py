"""A recording as its source describes it."""

import dataclasses
from pathlib import Path


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
    author: who made it.
    license: under which it may be used.
    source: collection that it was taken from.
    seconds: how long its source says that it is; 0: it does not say.
  """

  id: str
  path: Path
  captions: tuple[str, ...] = ()
  category: str = ""
  title: str = ""
  section: str = ""
  split: str = ""
  fold: str = ""
  author: str = ""
  license: str = ""
  source: str = ""
  seconds: float = 0.0
