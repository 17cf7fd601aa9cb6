"""The phrase book: properties and phrasings of each kind of sound.

The text is JSON, written for this project. `kinds/` has one file per group with
one entry per kind; `phrases.json` has what all kinds share.
"""

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from typing import Any

from siren_jax.common.errors import UserError
from siren_jax.common.text import words

_MUSIC = frozenset(
  (
    "drums",
    "keyboards",
    "percussion",
    "strings",
    "synthesizers and effects",
    "winds and brass",
  )
)
_GAP_SECONDS = 0.3  # between events, where a kind does not say
_VOICES = frozenset(("people", "crowds and places"))


@dataclasses.dataclass(frozen=True)
class Event:
  """What can be counted in a kind of sound.

  Attributes:
    names: of one and of many, such as ("bark", "barks").
    gap_seconds: events closer than this are one.
  """

  names: tuple[tuple[str, str], ...] = ()
  gap_seconds: float = 0.0

  @functools.cached_property
  def singular(self) -> frozenset[str]:
    """Words that name one and not many: "bark"."""
    return frozenset(
      w for one, many in self.names for w in _words(one) - _words(many)
    )

  @functools.cached_property
  def plural(self) -> frozenset[str]:
    """Words that name many and not one: "barks"."""
    return frozenset(
      w for one, many in self.names for w in _words(many) - _words(one)
    )


@dataclasses.dataclass(frozen=True)
class Kind:
  """A kind of sound.

  Attributes:
    name: as in data sets; lower case, with spaces.
    group: of kinds, such as "birds".
    example: a prompt to show.
    aliases: other names that mean this kind and no other.
    keywords: words that titles of such sounds contain at least one of.
    heads: names without article.
    nouns: noun phrases; they fit templates.
    sayings: prompts that stand alone.
    clauses: with subject and verb.
    descriptions: prompts that mostly avoid its name; true of any recording.
    settings: phrases for it as the background of another sound: "in the rain".
    held_out: prompts excluded from training captions.
    event: what can be counted, if anything.
    rate: whether it can be slow or fast.
    soft: quiet by nature, so that its level does not indicate distance.
    one_shot: a short sound that does not continue by itself.
    pitched: has notes.
    middle: lowest and highest note of its middle register.
  """

  name: str
  group: str = ""
  example: str = ""
  aliases: tuple[str, ...] = ()
  keywords: tuple[str, ...] = ()
  heads: tuple[str, ...] = ()
  nouns: tuple[str, ...] = ()
  sayings: tuple[str, ...] = ()
  clauses: tuple[str, ...] = ()
  descriptions: tuple[str, ...] = ()
  settings: tuple[str, ...] = ()
  held_out: tuple[str, ...] = ()
  event: Event | None = None
  rate: bool = False
  soft: bool = False
  one_shot: bool = False
  pitched: bool = False
  middle: tuple[str, str] = ("F3", "F#5")

  @property
  def gap_seconds(self) -> float:
    """Events that are closer than this are one."""
    return self.event.gap_seconds if self.event else _GAP_SECONDS

  @property
  def names(self) -> tuple[str, ...]:
    """Short names that one would type."""
    return tuple(dict.fromkeys((self.name, *self.heads, *self.aliases)))

  @property
  def is_music(self) -> bool:
    """Whether it is an instrument."""
    return self.group in _MUSIC

  @property
  def has_voices(self) -> bool:
    """Whether it may contain voices."""
    return self.group in _VOICES


@functools.cache
def kinds() -> Mapping[str, Kind]:
  """All kinds by name, group by group."""
  return {kind.name: kind for kind in _read_kinds()}


@functools.cache
def shared() -> Mapping[str, Any]:
  """What `phrases.json` holds: templates, titles, instruments."""
  return _read(_folder() / "phrases.json")


def canonical(category: str) -> str:
  """Lower case with spaces; other data sets' names become the book's own.

  Raises:
    UserError: `category` holds no word.
  """
  name = words(category)
  if not name:
    raise UserError(f"category {category!r} holds no word; name the sound")
  return _names().get(name, name)


def spelled(category: str) -> str:
  """The kind's name if this is another spelling of it, otherwise unchanged."""
  name = words(category)
  return name if name in kinds() else category


def kind(category: str) -> Kind:
  """The kind that `category` names, or one made of the label alone.

  Raises:
    UserError: `category` holds no word.
  """
  name = canonical(category)
  return kinds().get(name) or Kind(
    name=name,
    keywords=tuple(name.split()),
    heads=(name,),
    nouns=(name,),
    clauses=(f"{name} can be heard",),
  )


@functools.cache
def _names() -> Mapping[str, str]:
  return {words(n): k.name for k in kinds().values() for n in k.names}


def _read_kinds() -> Iterator[Kind]:
  files = (_folder() / "kinds").iterdir()
  for file in sorted(files, key=lambda f: f.name):
    group = file.name.removesuffix(".json").replace("_", " ")
    for name, entry in _read(file).items():
      event = entry.pop("event")
      lists = {k: tuple(v) for k, v in entry.items() if isinstance(v, list)}
      yield Kind(
        **{"name": name, "group": group, **entry, **lists},
        event=_event(**event) if event else None,
      )


def _event(names: list[list[str]], gap_seconds: float) -> Event:
  return Event(tuple((one, many) for one, many in names), gap_seconds)


def _folder() -> Traversable:
  return importlib.resources.files("siren_jax.data.captions")


def _read(file: Traversable) -> dict[str, Any]:
  return json.loads(file.read_text(encoding="utf-8"))


def _words(text: str) -> set[str]:
  return set(text.lower().split())
