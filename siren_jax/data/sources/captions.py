"""Captions: which may be trained on, and captions from file names.

In a folder of sounds, the nearest subfolder whose name has words is the kind of
a sound. A file name adds to it only if it is a phrase: at least two words of
three letters or more with a vowel. Without such a subfolder, a single word is
enough. Numbers, codes, dates and default names of recorders and programs
(DSC12, take 3, untitled) are not words.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from siren_jax.common.errors import UserError
from siren_jax.common.text import normal, printable

MAX_LETTERS = 1000  # of a caption
_VOWELS = frozenset("aeiouy")
_PHRASE = 2  # words
_COUNTERS = (
  "audio|capture|cimg|clip|copy|data|dataset|dji|download|dsc|dscf|dscn|export"
  "|file|folder|gopr|img|imgp|memo|misc|mix|mov|mvi|my|new|output|pxl|rec"
  "|record|recording|sample|sfx|snd|sound|ste|take|temp|tmp|track|unnamed"
  "|untitled|vid|video|voice|wa|wav|whatsapp|zoom"
)
_COUNTER = re.compile(f"(?:{_COUNTERS})s?")
# One of them, or unpronounceable letters, and a number.
_COUNTED = re.compile(
  rf"(?<![^\W\d_])(?:{_COUNTERS}|[b-df-hj-np-tv-xz]{{1,4}})[\W_]*\d+"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z]{2})")  # in DogBark
_FREESOUND = re.compile(r"\d+__.+?__")  # number and recordist
_CODE = re.compile(
  r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # UUID
  r"|(?<![^\W_])(?=[a-z]*\d)[0-9a-f]{12,}(?![^\W_])"  # hash
  r"|(?<![^\W_])\d*[^\W\d_]+\d+[^\W\d_]+[^\W_]*(?![^\W_])"  # a1b2, 48k24b
)


def cleaned(caption: object, name: str = "caption") -> str:
  """A caption in one line, "" for none.

  Args:
    caption: what a table or a file has.
    name: what messages call it.

  Raises:
    UserError: it is no text, too long, or has control characters.
  """
  if caption is None:
    return ""
  if not isinstance(caption, str):
    raise UserError(
      f"{name} {printable(caption):.40} is not text but"
      f" {type(caption).__name__}; put it in quotes"
    )
  caption = caption.strip()
  shown = f"{printable(caption[:40])}{'...' if len(caption) > 40 else ''}"
  if len(caption) > MAX_LETTERS:
    raise UserError(
      f"{name} '{shown}' has {len(caption)} characters, limit"
      f" {MAX_LETTERS}; shorten it, or close a quote"
    )
  caption = re.sub(r" *[\t-\r\x85][\t-\r\x85 ]*", " ", caption)
  odd = {c for c in caption if unicodedata.category(c) in ("Cc", "Cs")}
  if odd:
    raise UserError(
      f"{name} '{shown}' has the control character {printable(min(odd))};"
      " remove it"
    )
  return caption


def usable(
  given: Iterable[object], where: str, report: Callable[[str], None]
) -> tuple[str, ...]:
  """The captions that may be trained on, each once.

  Args:
    given: what a table or a file has.
    where: what messages begin with.
    report: is given a message for each that may not.
  """
  lines = []
  for caption in given:
    try:
      lines.append(cleaned(caption))
    except UserError as error:
      report(f"{where}: {error}")
  return distinct(filter(None, lines))


def distinct(captions: Iterable[str]) -> tuple[str, ...]:
  """Each once, whatever its normal form."""
  first: dict[str, str] = {}
  for caption in captions:
    first.setdefault(normal(caption), caption)
  return tuple(first.values())


def of_path(path: Path, root: Path) -> tuple[str, str]:
  """Caption and kind of a sound below `root`, "" where there is none."""
  folders = path.relative_to(root).parts[:-1]
  kinds = (_words(name) for name in reversed(folders))
  kind = " ".join(next(filter(None, kinds), ()))
  words = _words(path.stem)
  pronounceable = [
    w for w in words if _is_pronounceable(w) and not _COUNTER.fullmatch(w)
  ]
  if kind and len(pronounceable) < _PHRASE:
    return "", kind
  caption = " ".join(words)
  is_named = set(kind.split()) <= set(words)
  return (caption if is_named else f"{kind}, {caption}"), kind


def title(name: str) -> str:
  """Words of a title or of the name of a file: "dog-bark_02" is dog bark."""
  return " ".join(_words(name))


def _words(name: str) -> list[str]:
  """Words in lower case; none where the name is but a counter or a code."""
  name = _CAMEL.sub(" ", normal(name)).lower()
  name = _FREESOUND.sub("", name, count=1)
  name = _COUNTED.sub(" ", _CODE.sub(" ", name))
  letters = "".join(c if _is_letter(c) else " " for c in name)
  words = [w for word in letters.split() if (w := word.strip("'\u2019"))]
  spoken = [w for w in words if not (w.isascii() and len(w) == 1)]
  return words if any(not _COUNTER.fullmatch(w) for w in spoken) else []


def _is_letter(c: str) -> bool:
  return unicodedata.category(c)[0] in "LM" or c in "'\u2019"


def _is_pronounceable(word: str) -> bool:
  """Whether a word is pronounceable; always true in other scripts."""
  return not word.isascii() or (len(word) > 2 and bool(_VOWELS & set(word)))
