"""Captions: how people would ask for the sound of a recording.

The phrases are those of `book`. `wording` selects those that are true of a
recording, by its kind, its title and measurements.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from siren_jax.common.rng import choice
from siren_jax.data.captions import book, titles, wording
from siren_jax.data.captions.describe import Facts
from siren_jax.data.captions.wording import Pool, fitting, templates

# Weight of each pool in drawing a caption, if the pool is not empty.
_POOLS = {
  "name": 0.12,
  "phrase": 0.34,
  "description": 0.45,
  "template": 0.2,
  "title": 0.2,
  "note": 0.25,
  "fact": 0.14,
  "takes": 0.6,
}
_MIXTURE_POOLS = {"mixture": 0.6, "clause": 0.2, "setting": 0.2}
_SEQUENCE_POOLS = {"sequence": 0.7, "clause sequence": 0.3}
_PLACES = "xyz"  # of sounds in templates, in their order
_NOISES = "sounds?|noises?|recordings?"
_ODD = re.compile(
  rf"\b(?:{_NOISES})\b.*\b(?:{_NOISES})\b|\btogether together\b"
  r"|^(?:there is|this is|here is|here comes) (?!an? |the |some|one )",
  re.IGNORECASE,
)


def categories() -> tuple[str, ...]:
  """Names of the kinds in the book."""
  return tuple(book.kinds())


def canonical(category: str) -> str:
  """The book's name of a category: lower case with spaces.

  Raises:
    UserError: `category` holds no word.
  """
  return book.canonical(category)


def groups() -> dict[str, tuple[str, ...]]:
  """Names of the kinds by group, such as "birds"."""
  names: dict[str, tuple[str, ...]] = {}
  for kind in book.kinds().values():
    names[kind.group] = (*names.get(kind.group, ()), kind.name)
  return names


def group(category: str) -> str:
  """The group of a kind; "" of one that is not in the book."""
  return book.kind(category).group


def example(category: str) -> str:
  """A prompt to show for a kind; its name where it is not in the book."""
  kind = book.kind(category)
  return kind.example or kind.name


def phrases(category: str) -> tuple[str, ...]:
  """What a kind is called in captions; an unknown one is its own."""
  kind = book.kind(category)
  every = (*kind.nouns, *kind.sayings, *kind.clauses, *kind.names)
  return tuple(dict.fromkeys(every))


def descriptions(category: str) -> tuple[str, ...]:
  """Texts that avoid the name of the kind; none of an unknown one."""
  return book.kind(category).descriptions


def every_phrasing(category: str) -> tuple[str, ...]:
  """`phrases` and `descriptions`."""
  return phrases(category) + descriptions(category)


def held_out(category: str) -> tuple[str, ...]:
  """Phrasings kept from training, to check free wording with."""
  return book.kind(category).held_out


def normal(text: str) -> str:
  """Words of a text in lower case, without articles and punctuation."""
  words = re.findall(r"[^\W_]+", text.lower())
  return " ".join(word for word in words if word not in ("a", "an", "the"))


@functools.cache
def template_words() -> frozenset[str]:
  """Words of captions besides phrases."""
  every = book.shared()["templates"].values()
  return frozenset().union(*map(_words, every)) | wording.NUMBERS


def captions_for(
  category: str,
  source_title: str | None,
  facts: Facts | None,
  rng: np.random.Generator,
  n: int,
) -> tuple[str, ...]:
  """At most `n` different captions of a recording, fewer if words run out.

  Args:
    category: a kind of the book, a name of ESC-50, or any label.
    source_title: what the recordist called it.
    facts: measurements of the audio; only reliable ones are mentioned.
    rng: the source of every choice.
    n: how many.
  """
  kind = book.kind(category)
  number = wording.count(facts, kind)
  title = titles.parse(source_title or "")
  is_laid_out = facts is not None and facts.takes > 1
  nouns, heads = wording.nouns(kind, number), wording.heads(kind, number)
  singular = wording.nouns(kind, 1) + ((title.text,) if title else ())
  pools: dict[str, Pool] = {
    "name": fitting(kind.names, kind, number),
    "phrase": (
      *nouns,
      *fitting(kind.sayings, kind, number),
      *wording.clauses(kind, number),
    ),
    "description": fitting(kind.descriptions, kind, number),
    "template": wording.plain(kind, facts),
    # The title of a laid-out sound describes a single take.
    "title": () if is_laid_out else wording.of_title(source_title or "", kind),
    "note": wording.of_note(title, facts, kind),
    "fact": wording.of_facts(facts, kind),
    "takes": wording.of_takes(facts, kind),
  }

  def draw() -> str:
    name = _pool(rng, _POOLS, pools)
    x = choice(rng, singular if name == "takes" else nouns)
    return choice(rng, pools[name]).format(x=x, h=choice(rng, heads))

  return _distinct(draw, n)


def mixture_captions(
  first_category: str,
  second_category: str,
  rng: np.random.Generator,
  n: int,
  counts: Sequence[int] = (0, 0),
) -> tuple[str, ...]:
  """At most `n` different captions of two sounds at once.

  Args:
    first_category: the foreground.
    second_category: the background.
    rng: the source of every choice.
    n: how many.
    counts: how many events are heard of each; 0: not known.
  """
  second = book.kind(second_category)
  nouns, clauses = _words_of((first_category, second_category), counts)
  pools = {
    "mixture": templates("mixture"),
    "clause": templates("clause") if all(clauses) else (),
    "setting": templates("setting") if second.settings else (),
  }

  def draw() -> str:
    name = _pool(rng, _MIXTURE_POOLS, pools)
    x, y = (choice(rng, w) for w in (clauses if name == "clause" else nouns))
    s = choice(rng, second.settings) if name == "setting" else ""
    return choice(rng, pools[name]).format(x=x, y=y, s=s)

  return _distinct(draw, n)


def sequence_captions(
  categories: Sequence[str],
  counts: Sequence[int],
  rng: np.random.Generator,
  n: int,
) -> tuple[str, ...]:
  """At most `n` different captions of sounds that follow each other.

  Args:
    categories: of two or three sounds, in their order.
    counts: how many events are heard of each; 0: not known.
    rng: the source of every choice.
    n: how many.
  """
  nouns, clauses = _words_of(categories, counts)
  pools = {
    name: tuple(book.shared()["templates"][name][str(len(nouns))])
    for name in _SEQUENCE_POOLS
  }
  if not all(clauses):
    pools["clause sequence"] = ()

  def draw() -> str:
    name = _pool(rng, _SEQUENCE_POOLS, pools)
    words = clauses if name == "clause sequence" else nouns
    drawn = (choice(rng, w) for w in words)
    return choice(rng, pools[name]).format(
      **dict(zip(_PLACES, drawn, strict=False))
    )

  return _distinct(draw, n)


def instrument_captions(
  name: str, section: str, rng: np.random.Generator, n: int
) -> tuple[str, ...]:
  """At most `n` different captions of a one-shot or loop of Sonic Pi.

  Args:
    name: as in the library, `bd_haus`, `drum_tom_hi_soft`, `tabla_ghe3`.
    section: its heading there, `Bass Drums`; may be empty.
    rng: the source of every choice.
    n: how many.
  """
  nouns = _instrument(name, section) or book.kind(name).nouns
  heads = [re.sub(r"^(an?|the) ", "", noun) for noun in nouns]

  def draw() -> str:
    if rng.random() < 0.5:
      return choice(rng, nouns)
    return choice(rng, templates("plain")).format(
      x=choice(rng, nouns), h=choice(rng, heads)
    )

  return _distinct(draw, n)


def is_instrument(name: str, section: str) -> bool:
  """Whether `instrument_captions` knows the name or the section."""
  return bool(_instrument(name, section))


def _instrument(name: str, section: str) -> Sequence[str]:
  """Noun phrases for a name of Sonic Pi, or else for its section."""
  words = book.shared()["instruments"]
  family = name.split("_")[0]
  if family not in words["families"]:
    family = words["sections"].get(section, "")
  named = _instrument_name(name, words["names"])
  return named or words["families"].get(family, ())


def _instrument_name(
  name: str, names: Mapping[str, Sequence[str]]
) -> Sequence[str]:
  """The entry of the longest known beginning of `name`, whole words only."""
  parts = re.sub(r"\d+$", "", name).split("_")
  for end in range(len(parts), 1, -1):
    if "_".join(parts[:end]) in names:
      return names["_".join(parts[:end])]
  return names.get(name, ())


def _words_of(
  categories: Sequence[str], counts: Sequence[int]
) -> tuple[list[Pool], list[Pool]]:
  """Nouns and clauses of each sound, by how many events are heard of it."""
  kinds = [book.kind(category) for category in categories]
  pairs = [(k, c or None) for k, c in zip(kinds, counts, strict=True)]
  nouns = [wording.nouns(kind, number) for kind, number in pairs]
  return nouns, [wording.clauses(kind, number) for kind, number in pairs]


def _pool(
  rng: np.random.Generator,
  weights: Mapping[str, float],
  pools: Mapping[str, Pool],
) -> str:
  """Name of a pool that has something to offer, drawn by weight."""
  names = [name for name in weights if pools[name]]
  shares = np.array([weights[name] for name in names])
  return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def _distinct(draw: Callable[[], str], n: int) -> tuple[str, ...]:
  """`n` different draws; stops when draws keep repeating.

  Held-out phrasings of any kind, and odd ones, are drawn again: noises of
  noises, "here is" of what may be many.
  """
  captions: dict[str, None] = {}
  for _ in range(20 * n):
    if len(captions) == n:
      break
    text = _written(draw())
    if normal(text) not in _withheld() and not _ODD.search(text):
      captions[text] = None
  return tuple(captions)


@functools.cache
def _withheld() -> frozenset[str]:
  kinds = book.kinds().values()
  return frozenset(normal(text) for kind in kinds for text in kind.held_out)


def _words(templates: str | Iterable[str] | Mapping[str, Any]) -> Set[str]:
  """In normal form, of a template or a collection of templates."""
  if isinstance(templates, str):
    return set(normal(re.sub(r"{\w+}", " ", templates)).split())
  if isinstance(templates, Mapping):
    templates = templates.values()
  return set().union(*map(_words, templates))


def _written(text: str) -> str:
  """With a capital letter in front where it ends as a sentence."""
  return text[0].upper() + text[1:] if text[-1] in ".!?" else text
