"""Tables that people bring, CSV and JSONL: rows with the lines they are on."""

import csv
import io
import os
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from siren_jax.audio import sound_files
from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.common.files import parse_json
from siren_jax.common.text import lines, printable, read_lines, read_text

Row = dict[str, Any]

SUFFIXES = (".csv", ".tsv", ".jsonl")
_SEPARATED = (".csv", ".tsv", ".txt")  # other tables are JSONL
PATH_COLUMNS = ("path", "file", "audio", "filename", "file_name")
CAPTION_COLUMN = re.compile(r"captions?(_?\d+)?")
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_FILE_URL = re.compile(r"(?i:file):(?://(?:localhost(?=/))?)?(.*)")
_SEP = re.compile(r'(?i)"?sep=([,;\t])"?')  # the first line, as Excel has it
# A row in more lines or letters than these has a quote that never closes.
_MAX_LINES, _MAX_LETTERS = 50, 10_000


def is_table(path: str | os.PathLike) -> bool:
  """Whether its name is that of a table, not of a folder or of plain text."""
  return Path(path).suffix.lower() in SUFFIXES


def read_prompts(path: str | os.PathLike) -> list[str]:
  """Prompts, one per line of a text file; see `read_lines`.

  Raises:
    UserError: it is a table, or cannot be read.
  """
  if is_table(path):
    raise UserError(
      f"{printable(path)}: a table, not a list of prompts; write one per line"
      " to a .txt file (siren-jax evaluate --prompts takes tables)"
    )
  return read_lines(path)


def rows(
  path: str | os.PathLike, report: Callable[[str], None]
) -> Iterator[tuple[int, Row]]:
  """The rows of a table, each with the number of its first line.

  Names of columns are in lower case, with "_" for blanks and hyphens; a name
  that comes again ends in its number. Values of CSV are text without blanks
  around it.

  Args:
    path: CSV with commas, semicolons or tabs, or JSONL: an object per line.
    report: is given a message for each row that is broken, which costs that
      row alone.

  Raises:
    UserError: no text, or no table.
  """
  path = paths.local(path)
  content = read_text(path)
  if path.suffix.lower() in _SEPARATED:
    return _of_csv(path, _with_ends(content), report)
  return _of_jsonl(path, lines(content), report)


def columns(head: str) -> list[str]:
  """Names of the columns of the CSV file that begins with `head`."""
  try:
    return _header(_with_ends(head))[0]
  except csv.Error:
    return []


def captions(row: Row) -> list[Any]:
  """Of caption, captions (one or a list), and caption_1, caption_2, ..."""
  values: list[Any] = []
  for name, value in row.items():
    if CAPTION_COLUMN.fullmatch(name):
      values += value if isinstance(value, list) else [value]
  return values


def place(file: Any, root: Path) -> Path:
  """The sound that a row names, below `root` or anywhere.

  Raises:
    UserError: there is none.
  """
  if not isinstance(file, str):
    raise UserError(f"path {printable(file):.40} is not text; put it in quotes")
  name = file.strip()
  if url := _FILE_URL.fullmatch(name):
    name = urllib.parse.unquote(url[1])
  elif "://" in name:
    raise UserError(f"{name}: a URL; download it and give its path")
  # As it stands; from Windows; as macOS and others spell accents.
  names = [name, name.replace("\\", "/")]
  names += [unicodedata.normalize(f, n) for n in names for f in ("NFC", "NFD")]
  paths = [root / name for name in names]
  place = next(filter(os.path.isfile, paths), None)
  if place is None:
    what = "a folder" if os.path.isdir(paths[0]) else "no such file"
    raise UserError(f"{root / name}: {what}; check the path")
  return place


def _with_ends(content: str) -> list[str]:
  return list(io.StringIO(content, newline=""))


def _of_csv(
  path: Path, table: Sequence[str], report: Callable[[str], None]
) -> Iterator[tuple[int, Row]]:
  try:
    names, delimiter, place = _header(table, path.suffix.lower() == ".tsv")
  except csv.Error as error:
    raise UserError(
      f"{path}: its header row cannot be parsed ({error})"
    ) from error
  if delimiter != ",":
    logging.warning("%s: separated by %s", path, _DELIMITERS[delimiter])
  while place < len(table):
    line = place + 1
    try:
      fields, place = _record(table, place, delimiter)
      _check_count(fields, names)
    except csv.Error as error:
      report(f"{path}:{line}: {error}")
      place = line  # A broken row ends with its first line, if not before.
      continue
    values = [field.strip() for field in fields]
    if any(values):
      yield line, {name: value for name, value in zip(names, values) if name}


def _header(
  table: Sequence[str], by_tabs: bool = False
) -> tuple[list[str], str, int]:
  """Names of columns, the delimiter, and the place of the line after.

  Names may have other delimiters in them: the one that gives the most columns
  of known names counts, then one that the first row has as many of, then the
  one that gives the most columns.

  Args:
    by_tabs: it is separated by tabs if there are any.
  """
  place = _next_line(table, 0)
  if place == len(table):
    return [], ",", place
  choices = list(_DELIMITERS)
  if line := _SEP.fullmatch(table[place].strip(" \r\n")):
    choices, place = [line[1]], place + 1
  headers, broken = [], csv.Error()
  for delimiter in choices:
    try:
      fields, after = _record(table, place, delimiter)
      headers.append((_names(fields), delimiter, after))
    except csv.Error as error:
      broken = error
  if not headers:
    raise broken
  return max(headers, key=lambda header: _rank(table, header, by_tabs))


def _rank(
  table: Sequence[str], header: tuple[list[str], str, int], by_tabs: bool
) -> tuple[int, ...]:
  """How likely a header is the one that is meant, to compare."""
  names, delimiter, place = header
  known = sum(
    name in PATH_COLUMNS or bool(CAPTION_COLUMN.fullmatch(name))
    for name in names
  )
  is_split = len(names) > 1
  return (
    by_tabs and delimiter == "\t" and is_split,
    known,
    is_split and _fits(table, place, delimiter, names),
    len(names),
  )


def _fits(
  table: Sequence[str], place: int, delimiter: str, names: Sequence[str]
) -> bool:
  """Whether the first row has a field for each name."""
  try:
    fields, _ = _record(table, _next_line(table, place), delimiter)
    _check_count(fields, names)
  except csv.Error:
    return False
  return True


def _next_line(table: Sequence[str], place: int) -> int:
  """Place of the next line that is not blank."""
  while place < len(table) and not table[place].strip():
    place += 1
  return place


def _names(fields: Sequence[str]) -> list[str]:
  names: list[str] = []
  for field in fields:
    name, count = column(field), 1
    while name and name in names:
      count += 1
      name = f"{column(field)}_{count}"
    names.append(name)
  return names


def column(name: str) -> str:
  """A column's name, however it is spelled: "Caption 1" is caption_1."""
  return re.sub(r"[\s-]+", "_", name.strip().lower())


def _record(
  table: Sequence[str], start: int, delimiter: str
) -> tuple[list[str], int]:
  """The fields of a row, and the place of the line after it.

  Raises:
    csv.Error: it cannot be parsed, or runs on into other rows.
  """

  def ahead() -> Iterator[str]:
    letters = 0
    for line in range(start, min(start + _MAX_LINES, len(table))):
      yield table[line]
      letters += len(table[line])
      if letters > _MAX_LETTERS:
        return

  reader = csv.reader(
    ahead(), delimiter=delimiter, strict=True, skipinitialspace=True
  )
  try:
    fields = next(reader, [])
  except csv.Error as error:
    raise csv.Error(
      f"cannot be parsed ({error}); look for a quote that is not closed, and"
      " double those within quotes"
    ) from error
  if reader.line_num > 1 and any(
    _has_row(f, fields, delimiter) for f in fields
  ):
    raise csv.Error("a quote runs on into other rows; close it")
  return fields, start + max(1, reader.line_num)


def _has_row(field: str, fields: Sequence[str], delimiter: str) -> bool:
  """Whether a line of several in a field is a row of its own.

  One that names a sound among other things, or has as many fields as its row,
  and a number where that has one.
  """
  parts = [line.split(delimiter) for line in lines(field)]
  return len(parts) > 1 and any(
    len(row) > 1
    and (
      any(
        Path(p.strip(' "')).suffix.lower() in sound_files.SUFFIXES for p in row
      )
      or len(row) == len(fields)
      and any(a.isdigit() and b.isdigit() for a, b in zip(row, fields))
    )
    for row in parts
  )


def _check_count(fields: Sequence[str], names: Sequence[str]) -> None:
  """Raises csv.Error; blank fields after the last column are none."""
  columns = max((i for i, name in enumerate(names, 1) if name), default=0)
  filled = max((i for i, f in enumerate(fields, 1) if f.strip()), default=0)
  if filled > columns:
    raise csv.Error(
      f"fields: {filled}, columns: {columns}; quote any field that contains a"
      " separator"
    )
  if filled and len(fields) < columns:
    raise csv.Error(
      f"fields: {len(fields)}, columns: {columns}; add separators for"
      " the empty ones"
    )


def _of_jsonl(
  path: Path, table: Sequence[str], report: Callable[[str], None]
) -> Iterator[tuple[int, Row]]:
  for line, content in enumerate(table, 1):
    if not content.strip():
      continue
    try:
      row = parse_json(content, _unique)
    except (ValueError, RecursionError) as error:
      report(f"{path}:{line}: not a JSON object ({error})")
      continue
    if isinstance(row, dict):
      yield line, row
    else:
      report(f"{path}:{line}: not a JSON object but {type(row).__name__}")


def _unique(pairs: Sequence[tuple[str, Any]]) -> Row:
  row: Row = {}
  for name, value in pairs:
    if column(name) in row:
      raise ValueError(f"{printable(name)} comes twice")
    row[column(name)] = value
  return row
