"""Facts that a prompt states, such as how loud it is, as captions put them."""

import re

from siren_jax.data.captions import book, wording

# What captions say, after a comma, and how people may say it: anywhere, or as
# an adjective of the sound, not of a thing ("a long hall").
_FACTS = {
  "in the distance": (
    r"distan(?:t|tly|ce)|far(?! too| from)|afar|faint(?:ly)?|quietly"
    r"|in the background",
    "quiet",
  ),
  "close up": (
    r"close[ -](?:up|by)|up close|nearby|very near|loud(?:ly|er)?|deafening",
    None,
  ),
  "slow and steady": ("slowly", "slow"),
  "fast": ("quickly|rapidly", "fast|quick|rapid"),
  "short": ("briefly", "short|brief"),
  "long": ("prolonged|sustained", "long"),
  "low-pitched": (r"(?:low|deep)[ -](?:pitched|pitch|notes?|tones?)", None),
  "high-pitched": (r"high[ -](?:pitched|pitch|notes?|tones?)", None),
  "rising in pitch": (
    "rising (?:in pitch|pitch|notes?|tones?)|pitch rises",
    None,
  ),
  "falling in pitch": (
    "falling (?:in pitch|pitch|notes?|tones?)|pitch falls",
    None,
  ),
  "once": ("(?:just|only) once|a single", None),
  "again and again": ("repeatedly|over and over|again and again", None),
}
_OPPOSITES = (
  ("in the distance", "close up"),
  ("slow and steady", "fast"),
  ("short", "long"),
  ("low-pitched", "high-pitched"),
  ("rising in pitch", "falling in pitch"),
  ("once", "again and again"),
)
_NOT = r"(?<!\bnot )(?<!\bno )(?<!\btoo )(?<!\bnot very )(?<!\bnot too )"
_FUNCTION_WORDS = "on|in|at|by|through|down|up|past|along|over|under|across"
_NOTE = re.compile(
  r"\b(?:[A-G]#?[0-8]|(?:[B-G]|(?<=\w )A) (?:sharp|flat)(?: [0-8])?"
  r"|[Mm]iddle C)(?![\w#])"
)
_NUMBER = "|".join(wording.COUNTS)


def in_captions(text: str, category: str) -> tuple[str, ...]:
  """The facts that a text states of a kind of sound.

  Opposite facts are those of several sounds, so neither is stated.

  Returns:
    What follows the noun phrase in a caption: "three times", "in the distance".
  """
  kind, words = book.kind(category), text.lower()
  facts = [fact for fact in _FACTS if _states(words, fact, kind)]
  for pair in _OPPOSITES:
    if set(pair) <= set(facts):
      facts = [fact for fact in facts if fact not in pair]
  if "once" not in facts and (number := _number(words, kind)):
    facts.append(wording.times(number))
  if kind.is_music and (note := _NOTE.search(text)):
    facts.append(f"note {note[0].replace('Middle', 'middle')}")
  return tuple(facts)


def _states(words: str, fact: str, kind: book.Kind) -> bool:
  """Whether a text in lower case states a fact, and does not deny it.

  An adjective must be the last word, or precede a word for the sound or where
  it is.
  """
  anywhere, adjective = _FACTS[fact]
  if re.search(rf"(?<![\w-]){_NOT}(?:{anywhere})(?![\w-])", words):
    return True
  if not adjective:
    return False
  own = {w for name in kind.names for w in name.split()} | _events(kind)
  after = "|".join((_FUNCTION_WORDS, *map(re.escape, sorted(own))))
  return bool(
    re.search(
      rf"(?<![\w-]){_NOT}(?:{adjective})(?:[,;.!]|$| (?:{after})\b)", words
    )
  )


def _events(kind: book.Kind) -> frozenset[str]:
  """Words for one and for many."""
  event = kind.event or book.Event()
  return event.singular | event.plural


def _number(words: str, kind: book.Kind) -> int | None:
  """How many times, or how many events; None where a text does not say."""
  ways = [rf"twice|thrice|(?:{_NUMBER})(?= times)"]
  if kind.event and kind.event.plural:
    many = "|".join(map(re.escape, sorted(kind.event.plural)))
    ways.append(rf"(?:{_NUMBER})(?=(?: \w+){{0,2}} (?:{many})\b)")
  for way in ways:  # and not a part of another number: "twenty two"
    if match := re.search(rf"(?<!\d)(?<!ty[ -])\b({way})\b", words):
      return wording.COUNTS[match[0]]
  return None
