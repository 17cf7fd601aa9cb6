"""Text files of users, in any encoding of Unicode."""

import codecs
import os
import re
import unicodedata

from siren_jax.common import paths, sniff
from siren_jax.common.errors import UserError

MAX_BYTES = 1 << 26  # of a text file; it takes several times as much memory
# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
  (codecs.BOM_UTF32_LE, "UTF-32-LE"),
  (codecs.BOM_UTF32_BE, "UTF-32-BE"),
  (codecs.BOM_UTF16_LE, "UTF-16-LE"),
  (codecs.BOM_UTF16_BE, "UTF-16-BE"),
  (codecs.BOM_UTF8, "UTF-8"),
)
_MARK = "\ufeff"
_LINE_END = re.compile(r"\r\n|\n|\r")
_HEAD = 4096  # bytes to guess the encoding from


def read_text(path: str | os.PathLike) -> str:
  """A text file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

  Line ends are kept, byte order marks are removed.

  Raises:
    UserError: the file cannot be read, is not text, or is in another encoding.
  """
  path, name = paths.local(path), printable(path)
  try:
    with path.open("rb") as file:
      data = file.read(MAX_BYTES + 1)
  except (OSError, ValueError) as error:
    reason = getattr(error, "strerror", None) or error
    raise UserError(
      f"{name}: cannot be read ({reason}); check the path"
    ) from error
  if len(data) > MAX_BYTES:
    raise UserError(
      f"{name}: larger than {MAX_BYTES >> 20} MiB, the limit for text; split it"
    )
  # A pipe cannot be read twice.
  if data and path.is_file() and (kind := sniff.describe(path)):
    raise UserError(f"{name}: not text but {kind}")
  return _decode(data, name)


def _decode(data: bytes, name: str) -> str:
  encoding = next((e for m, e in _MARKS if data.startswith(m)), "UTF-8")
  try:
    text = data.decode(encoding)
  except UnicodeDecodeError as error:
    before = data[: error.start].decode(encoding, "ignore")
    raise _refusal(name, before, data, encoding) from error
  if "\0" in text:
    raise _refusal(name, text[: text.index("\0")], data, encoding)
  return text.replace(_MARK, "")  # Concatenated files have marks inside.


def _refusal(name: str, before: str, data: bytes, encoding: str) -> UserError:
  line = len(_LINE_END.findall(before)) + 1
  what = _likely(data, encoding)
  return UserError(f"{name}:{line}: not UTF-8 text, {what}; save it as UTF-8")


def _likely(data: bytes, encoding: str) -> str:
  """The likely encoding of data that cannot be decoded as `encoding`."""
  if encoding != "UTF-8":
    return f"nor the {encoding} that its byte order mark indicates"
  head = data[:_HEAD]
  even, odd = head[::2].count(0), head[1::2].count(0)
  if max(even, odd) > len(head) / 8:
    order = "BE" if even > odd else "LE"
    return f"probably UTF-16-{order} without a byte order mark"
  if 0 in head or sum(b < 32 and b not in b"\t\n\f\r\v" for b in head) > 2:
    return "probably binary data"
  # Accented Western letters are isolated, those of other scripts are not.
  if re.search(rb"[\x80-\xff]{3}", data):
    return "probably an old encoding other than Windows-1252"
  return "probably Windows-1252 (Latin-1)"


def lines(text: str) -> list[str]:
  """Lines without their ends, which are "\\n", "\\r\\n" and "\\r" alone."""
  return _LINE_END.split(text)


def read_lines(path: str | os.PathLike) -> list[str]:
  """Lines of a text file without the blank ones, stripped; see `read_text`.

  Raises:
    UserError: see `read_text`.
  """
  stripped = (line.strip() for line in lines(read_text(path)))
  return [line for line in stripped if line]


def normal(value: str) -> str:
  """The form in which names and captions are compared (NFC)."""
  return unicodedata.normalize("NFC", value)


def words(value: str) -> str:
  """Its words in lower case, of letters, digits, and marks of any script.

  Apostrophes and hyphens count inside a word.
  """
  value = normal(value).lower().replace("\u2019", "'")
  kept = "".join(c if _is_in_word(c) else " " for c in value)
  kept = re.sub(r"['-]{2,}", " ", kept)
  return " ".join(w for word in kept.split() if (w := word.strip("'-")))


def _is_in_word(c: str) -> bool:
  return unicodedata.category(c)[0] in "LMN" or c in "'-"


def is_text(value: str) -> bool:
  """Whether it can be encoded in UTF-8: no lone surrogates."""
  try:
    value.encode()
  except UnicodeEncodeError:
    return False
  return True


def printable(value: object) -> str:
  """`value` in one line: unprintable characters, such as "\\n", are escaped."""
  return "".join(
    c if c.isprintable() else c.encode("unicode_escape").decode()
    for c in str(value)
  )
