"""What a recordist's title says of a sound, by rule.

Titles of some data sets are English phrases, "a banjo playing a chord"; those
of others are names of files, "Dog_bark_02.wav".
"""

import dataclasses
import re

from siren_jax.common.errors import UserError

_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLATS = {1: "D", 3: "E", 6: "G", 8: "A", 10: "B"}  # semitones to letters
_MIDDLE_C = 60
_NOTE = re.compile(r"([A-G])([#b]?)(-?\d)")
# As people write: small letters, no numbers of takes, no ends of file names.
_WORD = r"(?:\d+-)?[A-Za-z][A-Za-z0-9'-]*"
_PHRASE = re.compile(rf"(?=[a-z])(?:{_WORD},? )+{_WORD}")
_PLAYING = re.compile(
  r"(?P<who>.+) playing "
  r"(?P<what>a single note|a note|a chord|a rising scale|a short melody)"
)
_OF_A_NOTE = re.compile(r"(?P<who>an? .+) note")
_FUNCTION_WORDS = frozenset(
  "a an and as at by for from in into is of on or over the to with".split()
)


@dataclasses.dataclass(frozen=True)
class Title:
  """A title that can be read.

  Attributes:
    text: the title as a caption.
    note: its MIDI number, where it names one.
    who: who plays, "a banjo"; "" where nobody does.
    what: a key of the book's titles, such as "a chord"; "" likewise.
  """

  text: str
  note: int | None = None
  who: str = ""
  what: str = ""

  @property
  def is_plain(self) -> bool:
    """Whether `who` is a player alone: no group, no second action."""
    words = self.who.split()
    acts = any(word.endswith("ing") for word in words[2:-1])
    return bool(words) and "of" not in words and not acts

  @property
  def stem(self) -> str:
    """Who plays, without article."""
    return re.sub(r"^(an?|the) ", "", self.who)


def parse(title: str) -> Title | None:
  """Reads a title; None where it is no English phrase."""
  text, *parenthesised = re.split(r"[()]", title)
  text = " ".join(text.split())
  # Two actions, put together by whoever wrote the title.
  text = re.sub(r"(playing|singing) (\w+) playing a note", r"\1 \2", text)
  text = re.sub(r" playing (\w+) playing (.*)", r" playing \2 \1", text)
  if not _PHRASE.fullmatch(text):
    return None
  note = next((midi(a) for a in parenthesised if _NOTE.fullmatch(a)), None)
  if match := _PLAYING.fullmatch(text):
    what = match["what"].replace("a note", "a single note")
    return Title(text, note, match["who"], what)
  if match := _OF_A_NOTE.fullmatch(text):
    return Title(text, note, match["who"], "a single note")
  return Title(text, note)


def midi(name: str) -> int:
  """The MIDI number of a note: 60 of C4.

  Raises:
    UserError: `name` is no note.
  """
  match = _NOTE.fullmatch(name)
  if not match:
    raise UserError(f"note {name!r}: expected a name such as C4, F#3 or Bb2")
  letter, sign, octave = match.groups()
  shift = {"#": 1, "b": -1, "": 0}[sign]
  return _SEMITONES[letter] + shift + 12 * (int(octave) + 1)


def note_names(number: int) -> tuple[str, ...]:
  """How people write a note, by its MIDI number."""
  semitone, octave = number % 12, number // 12 - 1
  name = _SHARPS[semitone]
  names = [f"{name}{octave}", name]
  if semitone in _FLATS:
    sharp, flat = f"{name[0]} sharp", f"{_FLATS[semitone]} flat"
    names += [f"{sharp} {octave}", sharp, f"{flat} {octave}", flat]
  if number == _MIDDLE_C:
    names.append("middle C")
  return tuple(names)


def known_words(
  title: str, keywords: frozenset[str], vocabulary: frozenset[str]
) -> str:
  """What is left of the name of a file without its junk, or "".

  The longest run of words of the vocabulary with a keyword among them.
  """
  title = re.sub(r"\.\w{2,4}$", "", title)
  title = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title).lower()
  vocabulary |= _FUNCTION_WORDS
  runs: list[list[str]] = []
  run: list[str] = []
  for word in [*re.split(r"[\s_\-().]+", title), ""]:
    clean = word.strip(",;:!'\"")
    if clean in vocabulary:
      run.append(clean)
    if clean not in vocabulary or word != clean:
      runs.append(_trim(run))
      run = []
  runs = [r for r in runs if len(r) > 1 and keywords & set(r)]
  longest: list[str] = max(runs, key=len, default=[])
  return " ".join(longest)


def _trim(words: list[str]) -> list[str]:
  """Without function words at the end; articles may stay in front."""
  words = list(words)
  while words and words[-1] in _FUNCTION_WORDS:
    words.pop()
  while words and words[0] in _FUNCTION_WORDS - {"a", "an", "the"}:
    words.pop(0)
  return words
