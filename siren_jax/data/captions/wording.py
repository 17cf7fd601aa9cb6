"""Which words of the book are true of a recording.

Pools of texts to draw captions of: plain texts, and templates with a place for
a noun phrase, {x}, or a name without article, {h}.
"""

import re
from collections.abc import Iterable

from siren_jax.data.captions import book, titles
from siren_jax.data.captions.book import Event, Kind
from siren_jax.data.captions.describe import Facts
from siren_jax.data.captions.titles import Title

Pool = tuple[str, ...]

_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_TIMES = {2: "twice"} | {n: f"{_NUMBERS[n]} times" for n in range(3, 7)}
# Words that stand for a number in templates.
NUMBERS = frozenset(
  " ".join((*map(str, _NUMBERS), *_NUMBERS.values(), *_TIMES.values())).split()
)
_WORDS = {name: n for n, name in _NUMBERS.items()} | {"twice": 2, "thrice": 3}
# Numbers of events that a prompt may state.
COUNTS = _WORDS | {str(n): n for n in _NUMBERS}
# Numbers that a text may claim.
_CLAIMED = _WORDS | {
  "once": 1,
  "single": 1,
  "double": 2,
  "pair": 2,
  "triple": 3,
}
_SEVERAL = frozenset(("several", "series", "many", "repeated", "repeatedly"))
# Rates, per second, that are clearly slow or fast.
_SLOW_HZ, _FAST_HZ = 1.5, 3.5
_LASTING_SECONDS = 4.0  # described as lasting a few seconds
_FIVE_SECONDS = (4.5, 5.5)
_REST_SECONDS = 0.5  # described as the silence after a sound
_IN_TUNE = 0.6  # semitones between the note of a title and the measured one
_AGAIN = re.compile(r"\b(\w+(?:\W+\w+)?)\W+\1\b")  # tick tock tick tock


def times(number: int) -> str:
  """How often: "three times"."""
  return _TIMES[number]


def count(facts: Facts | None, kind: Kind) -> int | None:
  """How many events a recording holds, None where that is not known."""
  if facts is None or not (kind.event or kind.one_shot):
    return None
  if facts.takes > 1 and not facts.events:
    return facts.takes
  return facts.count(kind.gap_seconds) or None


def fitting(texts: Iterable[str], kind: Kind, number: int | None) -> Pool:
  """The texts that agree with a number of events, None: not known.

  A number in a text must be that of the events. "footsteps" are many, "a
  footstep" is one. A kind whose events come in rows, such as steps, must be
  called one where there is one.
  """
  texts = tuple(t for t in texts if _is_counted(t, kind, number))
  if number is None:
    return texts
  event = kind.event or Event()

  def fits(text: str) -> bool:
    words = set(re.findall(r"[\w'-]+", text.lower()))
    if number > 1:
      return not words & event.singular
    if kind.rate and event.singular and not words & event.singular:
      return False
    return not (words & event.plural or _AGAIN.search(text.lower()))

  return tuple(filter(fits, texts))


def _is_counted(text: str, kind: Kind, number: int | None) -> bool:
  """Whether the numbers in a text are that of the events."""
  if not (kind.event or kind.one_shot):
    return True
  words = set(re.findall(r"[\w'-]+", text.lower())) - set(kind.name.split())
  claimed = {_CLAIMED[word] for word in words & _CLAIMED.keys()}
  if number is None or number == 1:
    return claimed <= {number} and not words & _SEVERAL
  return claimed <= {number}


def heads(kind: Kind, number: int | None) -> Pool:
  """Names without article that agree with a number of events."""
  fit = fitting(kind.heads, kind, number)
  names = kind.event.names if kind.event else ()
  one_or_many = (one if number == 1 else many for one, many in names)
  return fit or tuple(one_or_many) or kind.heads


def nouns(kind: Kind, number: int | None) -> Pool:
  """Noun phrases that agree with a number of events; all if none does."""
  return fitting(kind.nouns, kind, number) or kind.nouns


def clauses(kind: Kind, number: int | None) -> Pool:
  """Clauses; of one event in a kind whose events come in rows, few are true."""
  if number == 1 and kind.rate:
    return fitting(kind.clauses, kind, number)
  return tuple(t for t in kind.clauses if _is_counted(t, kind, number))


def plain(kind: Kind, facts: Facts | None) -> Pool:
  """Templates that make no claim about the sound itself."""
  pool = templates("plain")
  if facts and facts.seconds > _LASTING_SECONDS and not kind.one_shot:
    pool += templates("lasting")
    low, high = _FIVE_SECONDS
    if low <= facts.seconds <= high:
      pool += templates("five seconds")
  if not kind.group:  # What else it holds is not known.
    return pool
  if not (kind.one_shot or kind.is_music):
    pool += templates("background")
  if not (kind.is_music or kind.has_voices):
    pool += templates("alone")
  return pool


def of_title(title: str, kind: Kind) -> Pool:
  """Captions from a title that can be parsed or has words of the kind."""
  parsed = titles.parse(title)
  if parsed is None:
    words = " ".join((*kind.nouns, *kind.clauses, *kind.names)).lower()
    vocabulary = frozenset(re.findall(r"[a-z]+(?:['-][a-z]+)*", words))
    known = titles.known_words(title, frozenset(kind.keywords), vocabulary)
    return (known,) if known else ()
  pool: Pool = (parsed.text,) * 4
  if parsed.text.startswith(("a ", "an ", "the ")):
    whole = (t for t in templates("plain") if "{x}" in t)
    pool += tuple(t.format(x=parsed.text) for t in whole)
  if parsed.what and parsed.is_plain:
    pool += tuple(
      t.format(who=parsed.who, stem=parsed.stem)
      for t in book.shared()["titles"][parsed.what]
    )
  return pool


def of_note(title: Title | None, facts: Facts | None, kind: Kind) -> Pool:
  """Notes by name, and whether they are low or high for their instrument.

  Sets of samples count octaves in two ways: the octave of a title is believed
  where it was measured too.
  """
  pitch = facts.pitch if facts else None
  if not kind.pitched or (pitch and pitch.glide):
    return ()
  pool: Pool = ()
  if title and title.note is not None and title.is_plain:
    names = titles.note_names(title.note)
    away = pitch.midi - title.note if pitch else None
    if away is None or abs(away) > _IN_TUNE:
      names = tuple(n for n in names if not re.search(r"\d|middle", n))
    if away is not None and abs(away - 12 * round(away / 12)) > _IN_TUNE:
      names = ()
    pool += tuple(
      t.format(x=title.who, h=title.stem, note=name)
      for t in templates("note")
      for name in names
    )
  if pitch and (title is None or title.what in ("", "a single note")):
    pool += templates(_register(pitch.midi, kind)) * 2
  return pool


def of_facts(facts: Facts | None, kind: Kind) -> Pool:
  """Templates, and counts, that agree with the measurements."""
  if facts is None:
    return ()
  pool: Pool = ()
  if facts.level and not kind.soft:
    pool += templates(facts.level)
  if kind.rate and facts.rate_hz is not None:
    if facts.rate_hz < _SLOW_HZ:
      pool += templates("slow") * 2
    elif facts.rate_hz > _FAST_HZ:
      pool += templates("fast") * 2
  if facts.pitch and facts.pitch.glide and not kind.is_music:
    pool += templates(facts.pitch.glide) * 2
  number = count(facts, kind)
  if facts.length and facts.takes < 2 and (kind.one_shot or kind.event):
    if facts.length == "short" or number in (None, 1):
      pool += templates(facts.length)
  return pool + _of_count(number, facts, kind)


def of_takes(facts: Facts | None, kind: Kind) -> Pool:
  """Templates for a sound that was laid out several times; else none."""
  takes = facts.takes if facts else 0
  if facts is None or takes < 2:
    return ()
  times = _TIMES.get(takes, "")
  pool = tuple(
    t.replace("{times}", times) for t in templates("repeated") if times
  )
  if takes > 2:
    pool += templates("repeating")
    pool += templates("repeated even" if facts.even else "repeated uneven")
  if takes > 2 and facts.rate_hz is not None:
    if facts.rate_hz < _SLOW_HZ:
      pool += templates("repeated slow")
    elif facts.rate_hz > _FAST_HZ:
      pool += templates("repeated fast")
  return pool


def templates(name: str) -> Pool:
  """Those of a name in the book."""
  return tuple(book.shared()["templates"][name])


def _of_count(number: int | None, facts: Facts, kind: Kind) -> Pool:
  if number == 1 and facts.takes < 2 and kind.one_shot:
    pool = templates("once")
    if facts.rest_seconds >= _REST_SECONDS:
      pool += templates("then silence")
  else:
    pool = ()
  for one, many in kind.event.names if kind.event and facts.events else ():
    if number == 1:
      pool += tuple(t.format(one=one) for t in _counts("1"))
    elif number in _NUMBERS:
      values = dict(many=many, number=_NUMBERS[number], digit=number)
      pool += tuple(t.format(**values) for t in _counts("many"))
  return pool


def _counts(number: str) -> Pool:
  """Of "1" or of "many"."""
  return tuple(book.shared()["templates"]["count"][number])


def _register(midi: float, kind: Kind) -> str:
  low, high = map(titles.midi, kind.middle)
  if round(midi) < low:
    return "low"
  return "high" if round(midi) > high else "middle"
