"""Facts that a prompt states, such as how loud it is, as captions put them."""

import re

from siren_jax.data.captions import book, wording

# What captions say, after a comma, and how people may say it.
_FACTS = {
  "in the distance": r"distan(?:t|tly|ce)|far|afar|faint(?:ly)?|quiet(?:ly)?"
  r"|in the background",
  "close up": r"close[ -](?:up|by|to)|up close|nearby|very near"
  r"|loud(?:ly|er)?|deafening",
  "slow and steady": r"slow(?:ly)?",
  "fast": r"fast|quick(?:ly)?|rapid(?:ly)?",
  "short": r"short|brief(?:ly)?",
  "long": r"long|prolonged|sustained",
  "low-pitched": r"low[ -](?:pitched|pitch|notes?|tones?)|deep[ -](?:pitched"
  r"|notes?|tones?)",
  "high-pitched": r"high[ -](?:pitched|pitch|notes?|tones?)",
  "rising in pitch": r"rising (?:in pitch|pitch|notes?|tones?)|pitch rises",
  "falling in pitch": r"falling (?:in pitch|pitch|notes?|tones?)|pitch falls",
  "once": r"once|a single",
  "again and again": r"repeated(?:ly)?|over and over|again and again",
}
_PATTERNS = {
  fact: re.compile(rf"(?<![\w-])(?:{words})(?![\w-])")
  for fact, words in _FACTS.items()
}
_NOTE = re.compile(
  r"\b(?:[A-G][#b]?[0-8]|[A-G] (?:sharp|flat)(?: [0-8])?|middle C)(?![\w#])"
)
_NUMBER = "|".join(wording.COUNTS)
_TIMES = re.compile(rf"\b(twice|thrice|(?:{_NUMBER})(?= times))\b")


def in_captions(text: str, category: str) -> tuple[str, ...]:
  """The facts that a text states of a kind of sound.

  Returns:
    What follows the noun phrase in a caption: "three times", "in the distance".
  """
  words = text.lower()
  facts = [fact for fact, p in _PATTERNS.items() if p.search(words)]
  if number := _number(words, book.kind(category)):
    facts.append(wording.times(number))
  return (*facts, *(f"note {note}" for note in _NOTE.findall(text)[:1]))


def _number(words: str, kind: book.Kind) -> int | None:
  """How many times, or how many events; None where a text does not say."""
  match = _TIMES.search(words)
  if not match and kind.event and kind.event.plural:
    many = "|".join(map(re.escape, sorted(kind.event.plural)))
    match = re.search(rf"\b({_NUMBER})(?: \w+)? (?:{many})\b", words)
  return wording.COUNTS[match[1]] if match else None
