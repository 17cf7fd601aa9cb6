"""A manifest: a table with a sound and what is known of it in each row."""

import dataclasses
import math
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from siren_jax.audio import sound_files
from siren_jax.common.errors import UserError
from siren_jax.common.text import is_text, printable
from siren_jax.data.captions import phrasebook
from siren_jax.data.sources import captions, splits, tables
from siren_jax.data.sources.problems import Problems
from siren_jax.data.sources.recording import Recording

NAMES = ("manifest.csv", "manifest.tsv", "manifest.jsonl")
CATEGORY_COLUMNS = ("category", "label")
TITLE_COLUMNS = ("source_title", "title", "name")
WORD_COLUMNS = (*CATEGORY_COLUMNS, *TITLE_COLUMNS, "section")
_UPLOADER = re.compile(r"freesound\.org/people/([^/]+)", re.IGNORECASE)


def read(manifest: Path, root: Path, problems: Problems) -> Iterator[Recording]:
  """The recordings of a manifest whose paths are below `root`."""
  warned = False
  for line, row in tables.rows(manifest, problems.add):
    where = f"{manifest}:{line}"
    known = [
      c for c in row if c in WORD_COLUMNS or tables.CAPTION_COLUMN.fullmatch(c)
    ]
    if not (known or warned):
      warned = True
      logging.warning(
        "%s: no caption, category or title in columns %s; using file names as"
        " captions", where, ", ".join(map(printable, row)),
      )  # fmt: skip
    file = next((row[c] for c in tables.PATH_COLUMNS if row.get(c)), "")
    if not file:
      columns = " / ".join(tables.PATH_COLUMNS[:3])
      problems.add(f"{where}: no {columns}; it has {', '.join(row)}")
      continue
    try:
      path = tables.place(file, root)
      given = tables.captions(row)
      own = captions.usable(given, where, problems.add)
      if own or not any(map(_is_given, given)):
        yield _recording(row, path, root, own)
    except UserError as error:
      problems.add(f"{where}: {error}")


def _recording(
  row: tables.Row, path: Path, root: Path, own: tuple[str, ...]
) -> Recording:
  """What a row says of a sound, `own` captions included."""
  name = os.path.relpath(path, root)
  if not is_text(name):
    raise UserError(f"{printable(name)}: its name is not UTF-8 text; rename it")
  recording = Recording(
    id=name,
    path=path,
    captions=own,
    category=_text(row, *CATEGORY_COLUMNS),
    title=_text(row, *TITLE_COLUMNS),
    section=_text(row, "section"),
    split=_split(_text(row, "split")),
    fold=_text(row, "fold"),
    author=_text(row, "author") or _uploader(_text(row, "source")),
    license=_text(row, "license", "licence"),
    source=_text(row, "source"),
    seconds=_seconds(_text(row, "seconds")),
  )
  if recording.category:
    phrasebook.canonical(recording.category)  # refuses one without a word
  title, section = recording.title, recording.section
  is_instrument = phrasebook.is_instrument(title, section)
  if not (recording.captions or recording.category or is_instrument):
    title = _without_suffix(title)
    words = title if " " in title else captions.title(title or path.stem)
    words = words or captions.title(section)
    if not words:
      raise UserError(f"{name}: no caption and no category")
    recording = dataclasses.replace(recording, captions=(words,))
  return recording


def _without_suffix(title: str) -> str:
  """A title that is the name of a sound file, without its suffix."""
  stem, dot, suffix = title.rpartition(".")
  return stem if f"{dot}{suffix.lower()}" in sound_files.SUFFIXES else title


def _is_given(caption: object) -> bool:
  return bool(caption.strip() if isinstance(caption, str) else caption)


def _text(row: tables.Row, *columns: str) -> str:
  for column in columns:
    value = row.get(column)
    if isinstance(value, int | float) and not isinstance(value, bool):
      value = str(value)  # JSON has folds and labels that are numbers.
    if value := captions.cleaned(value, column):
      return value
  return ""


def _uploader(source: str) -> str:
  """The author that an address at freesound.org names; "" for others."""
  match = _UPLOADER.search(source)
  return captions.cleaned(urllib.parse.unquote(match[1])) if match else ""


def _seconds(number: str) -> float:
  """A length; 0 for what is none."""
  try:
    seconds = float(number)
  except ValueError:
    return 0.0
  return seconds if 0 < seconds < math.inf else 0.0


def _split(name: str) -> str:
  if not name:
    return ""
  if name.lower() not in splits.NAMES:
    raise UserError(f"unknown split {name!r}; known: {', '.join(splits.NAMES)}")
  return splits.without_test(splits.NAMES[name.lower()])
