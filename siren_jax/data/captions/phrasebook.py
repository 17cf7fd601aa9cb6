"""The words for sounds: how people would ask for what a recording holds.

The text lives in `phrases.json`, written for this project: for each category
noun phrases (they fit templates), sayings (they stand alone), clauses,
settings, and held-out phrasings that no training caption uses.
"""

import functools
import importlib.resources
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from siren_jax.common.errors import UserError
from siren_jax.common.rng import choice
from siren_jax.data.captions.describe import Facts

_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
# Rates of ticking, per second, beyond which nobody would disagree.
_SLOW_HZ = 1.5
_FAST_HZ = 3.5
# How often a caption is drawn from each kind, where the kind is available.
_KINDS = {"phrase": 0.5, "template": 0.28, "title": 0.08, "fact": 0.14}
_MIXTURE_KINDS = {"mixture": 0.6, "clause": 0.2, "setting": 0.2}
_FUNCTION_WORDS = frozenset(
  "a an and as at by for from in into is of on or over the to with".split()
)


@functools.cache
def _book() -> dict[str, Any]:
  path = importlib.resources.files("siren_jax.data.captions") / "phrases.json"
  return json.loads(path.read_text(encoding="utf-8"))


def categories() -> tuple[str, ...]:
  """Names of the categories in the book."""
  return tuple(_book()["categories"])


def canonical(category: str) -> str:
  """Lower case with spaces; other data sets' names become the book's own.

  Raises:
    UserError: `category` holds no word.
  """
  words = re.findall(r"[^\W_]+(?:['-][^\W_]+)*", category.lower())
  if not words:
    raise UserError(f"category {category!r} holds no word; name the sound")
  name = " ".join(words)
  return _book()["aliases"].get(name, name)


def phrases(category: str) -> tuple[str, ...]:
  """Every training phrasing of `category`; an unknown one is its own."""
  entry = _entry(category)
  return tuple(entry["nouns"] + entry["sayings"] + entry["clauses"])


def held_out(category: str) -> tuple[str, ...]:
  """Phrasings kept from training, to check free wording with."""
  return tuple(_entry(category)["held_out"])


def captions_for(
  category: str,
  source_title: str | None,
  facts: Facts | None,
  rng: np.random.Generator,
  n: int,
) -> tuple[str, ...]:
  """At most `n` different captions of a recording, fewer if words run out.

  Args:
    category: a category of the book, a name of ESC-50, or any label.
    source_title: what the recordist called it; only words that the book
      knows are used.
    facts: measurements of the audio; each is said only where reliable.
    rng: the source of every choice.
    n: how many.
  """
  entry = _entry(category)
  kinds = {
    "phrase": entry["nouns"] + entry["sayings"] + entry["clauses"],
    "template": _templates("plain"),
    "title": _title_captions(source_title or "", entry),
    "fact": _fact_templates(facts, entry) if facts else [],
  }

  def draw() -> str:
    pool = choice(rng, kinds[_kind(rng, _KINDS, kinds)])
    return pool.format(
      x=choice(rng, entry["nouns"]), h=choice(rng, entry["heads"])
    )

  return _distinct(draw, n)


def mixture_captions(
  first_category: str,
  second_category: str,
  rng: np.random.Generator,
  n: int,
  sequence: bool = False,
) -> tuple[str, ...]:
  """At most `n` different captions of two sounds.

  Args:
    first_category: the foreground, or what comes first.
    second_category: the background, or what comes second.
    rng: the source of every choice.
    n: how many.
    sequence: one after the other, instead of both at once.
  """
  first, second = _entry(first_category), _entry(second_category)
  kinds = {
    "mixture": _templates("mixture"),
    "clause": _templates("clause"),
    "setting": _templates("setting") if second["settings"] else [],
  }

  def draw() -> str:
    kind = "sequence" if sequence else _kind(rng, _MIXTURE_KINDS, kinds)
    words = "clauses" if kind == "clause" else "nouns"
    return choice(rng, _templates(kind)).format(
      x=choice(rng, first[words]),
      y=choice(rng, second[words]),
      s=choice(rng, second["settings"]) if kind == "setting" else "",
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
  book = _book()["instruments"]
  family = name.split("_")[0]
  if family not in book["families"]:
    family = book["sections"].get(section, "")
  nouns = _instrument_name(name, book["names"])
  nouns = nouns or book["families"].get(family) or _entry(name)["nouns"]
  heads = [re.sub(r"^(an?|the) ", "", noun) for noun in nouns]

  def draw() -> str:
    if rng.random() < 0.5:
      return choice(rng, nouns)
    return choice(rng, _templates("plain")).format(
      x=choice(rng, nouns), h=choice(rng, heads)
    )

  return _distinct(draw, n)


def _instrument_name(name: str, names: dict[str, list[str]]) -> list[str]:
  """The entry of the longest known beginning of `name`, whole words only."""
  parts = re.sub(r"\d+$", "", name).split("_")
  for end in range(len(parts), 1, -1):
    if "_".join(parts[:end]) in names:
      return names["_".join(parts[:end])]
  return names.get(name, [])


def _entry(category: str) -> dict[str, Any]:
  """The book's entry, or one made of the label alone."""
  name = canonical(category)
  fallback = {
    "keywords": name.split(),
    "heads": [name],
    "nouns": [name],
    "sayings": [],
    "clauses": [f"{name} can be heard"],
    "held_out": [],
  }
  entry = _book()["categories"].get(name, fallback)
  return {
    "event": None,  # what is countable: names of one and many
    "rate": False,  # whether it is called slow or fast
    "soft": False,  # soft by nature, so that its level does not tell distance
    "settings": [],
    **entry,
  }


def _templates(kind: str) -> list[str]:
  return _book()["templates"][kind]


def _count_templates(number: str) -> list[str]:
  """Of "1" or of "many"."""
  return _book()["templates"]["count"][number]


def _kind(
  rng: np.random.Generator,
  weights: dict[str, float],
  kinds: dict[str, list[str]],
) -> str:
  """One of the kinds that have something to offer, by weight."""
  names = [kind for kind in weights if kinds[kind]]
  shares = np.array([weights[kind] for kind in names])
  return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def _distinct(draw: Callable[[], str], n: int) -> tuple[str, ...]:
  """`n` different draws; gives up where the words are running out."""
  captions: dict[str, None] = {}
  for _ in range(20 * n):
    if len(captions) == n:
      break
    captions[draw()] = None
  return tuple(captions)


def _fact_templates(facts: Facts, entry: dict[str, Any]) -> list[str]:
  """Templates, and counts, that the measurements bear out."""
  templates = []
  if facts.level is not None and not entry["soft"]:
    templates += _templates(facts.level)
  if entry["rate"] and facts.rate_hz is not None:
    if facts.rate_hz < _SLOW_HZ:
      templates += _templates("slow") * 2
    elif facts.rate_hz > _FAST_HZ:
      templates += _templates("fast") * 2
  if entry["event"]:
    count = facts.count(entry["event"]["gap_seconds"])
    for one, many in entry["event"]["names"]:
      if count == 1:
        templates += [t.format(one=one) for t in _count_templates("1")]
      elif count in _NUMBERS:
        values = dict(many=many, number=_NUMBERS[count], digit=count)
        templates += [t.format(**values) for t in _count_templates("many")]
  return templates


def _title_captions(title: str, entry: dict[str, Any]) -> list[str]:
  """What is left of a title without its file-name junk: one or no caption.

  The longest run of words the book knows that names the sound.
  """
  title = re.sub(r"\.\w{2,4}$", "", title)
  title = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title).lower()
  runs: list[list[str]] = []
  run: list[str] = []
  for word in [*re.split(r"[\s_\-().]+", title), ""]:
    clean = word.strip(",;:!'\"")
    if clean in _vocabulary():
      run.append(clean)
    if clean not in _vocabulary() or word != clean:
      runs.append(_trim(run))
      run = []
  runs = [r for r in runs if len(r) > 1 and set(r) & set(entry["keywords"])]
  longest = max(runs, key=len, default=[])
  return [" ".join(longest)] if longest else []


def _trim(words: list[str]) -> list[str]:
  """Without function words at the end; articles may stay in front."""
  words = list(words)
  while words and words[-1] in _FUNCTION_WORDS:
    words.pop()
  while words and words[0] in _FUNCTION_WORDS - {"a", "an", "the"}:
    words.pop(0)
  return words


@functools.cache
def _vocabulary() -> frozenset[str]:
  """Words of noun phrases and clauses, function words included."""
  entries = _book()["categories"].values()
  text = " ".join(p for e in entries for p in e["nouns"] + e["clauses"])
  return frozenset(re.findall(r"[a-z]+(?:['-][a-z]+)*", text.lower()))
