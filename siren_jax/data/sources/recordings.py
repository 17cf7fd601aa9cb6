"""Finds recordings and what is known of them; reads no audio.

Layouts, told apart by looking: a manifest (CSV, TSV or JSONL, or a folder that
holds one called manifest.csv or so), ESC-50 (audio/ and meta/esc50.csv),
AudioCaps and Clotho (their CSV files, and clips somewhere below the folder),
and a plain folder of sound files, whose captions are in .txt files beside them
(one a line) or in their names (see `captions`).
"""

import collections
import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from siren_jax.audio.sound_files import SUFFIXES
from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.common.text import (
  is_text,
  normal,
  printable,
  read_lines,
)
from siren_jax.data.sources import captions, corpora, tables, walk

MANIFESTS = ("manifest.csv", "manifest.tsv", "manifest.jsonl")
ESC50 = Path("meta", "esc50.csv")
CATEGORY_COLUMNS = ("category", "label")
TITLE_COLUMNS = ("source_title", "title", "name")
WORD_COLUMNS = (*CATEGORY_COLUMNS, *TITLE_COLUMNS, "section")
MAX_SHOWN = 3
_HEAD = 1 << 16  # bytes of a CSV file in which its columns are looked for


@dataclasses.dataclass(frozen=True)
class Recording:
  """A sound file and what its source says about it ("" = nothing).

  Attributes:
    id: its path, relative to its source; unique within a source.
    path: where the file is.
    captions: given in words by the source.
    category: class name, such as "dog bark".
    title: what the recordist called it, or the name of an instrument sound.
    section: group of instrument sounds, such as "Hi-hats".
    split: "train", "validation" or "".
    fold: cross-validation fold, or "".
  """

  id: str
  path: Path
  captions: tuple[str, ...] = ()
  category: str = ""
  title: str = ""
  section: str = ""
  split: str = ""
  fold: str = ""


@dataclasses.dataclass
class Problems:
  """Bad rows and files: counted, the first few told, fatal when strict."""

  strict: bool = False
  messages: list[str] = dataclasses.field(default_factory=list)

  def add(self, message: str) -> None:
    message = printable(message)
    if self.strict:
      raise UserError(f"{message} (strict: the first problem ends the run)")
    self.messages.append(message)
    if len(self.messages) <= MAX_SHOWN:
      logging.warning("skipped: %s", message)

  def summary(self) -> str:
    """One line for all of them, "" if there were none."""
    count = len(self.messages)
    return f"{count} skipped; first: {self.messages[0]}" if count else ""


def find(
  source: str | os.PathLike,
  problems: Problems | None = None,
  apart: str | os.PathLike | None = None,
) -> list[Recording]:
  """All recordings of one source, in a fixed order.

  Args:
    source: file or folder.
    problems: collects what cannot be used.
    apart: folder in which no sound is looked for.

  Raises:
    UserError: no such source, an unreadable manifest, or no usable entry.
  """
  source = paths.local(source)
  problems = problems or Problems()
  if not is_text(str(source)):
    raise UserError(f"{printable(source)}: not a name in UTF-8; rename it")
  if source.suffix.lower() in SUFFIXES and source.is_file():
    raise UserError(f"{source}: a sound; give its folder, or a manifest")
  if not source.exists():
    raise UserError(f"{source}: no such file or folder; check the path")
  apart = Path(apart) if apart else None
  recordings = list(_unique(_read(source, problems, apart), problems))
  if not recordings:
    missing = f"looked for {', '.join(SUFFIXES)}"
    if source.is_file():
      missing = "no row below its line of column names; add some"
    missing = problems.summary() or missing
    raise UserError(f"{source}: no usable recording; {missing}")
  return recordings


def _read(
  source: Path, problems: Problems, apart: Path | None
) -> Iterator[Recording]:
  if source.is_file():
    if _corpus(source):
      return _from_corpus([source], source.parent, problems, apart)
    return _from_manifest(source, source.parent, problems)
  for name in MANIFESTS:
    if (source / name).exists():
      return _from_manifest(source / name, source, problems)
  if (source / ESC50).exists():
    return _from_manifest(source / ESC50, source / "audio", problems)
  files = [p for p in sorted(source.glob("*.csv")) if _corpus(p)]
  if files:
    return _from_corpus(_trained_on(files), source, problems, apart)
  return _from_folder(source, problems, apart)


def _trained_on(files: list[Path]) -> list[Path]:
  """The CSV files of a corpus but for its test split."""
  splits = {path: corpora.split_of(path) for path in files}
  for path, split in splits.items():
    if split == corpora.TEST:
      logging.warning("%s is left out: siren-jax evaluate is for it", path)
    elif not split and len(files) > 1:
      raise UserError(
        f"{path}: of which split? Name the files train.csv, val.csv, test.csv"
      )
  kept = [path for path, split in splits.items() if split != corpora.TEST]
  if not kept:
    raise UserError(
      f"{files[0]}: a test split alone; give the training split too, or"
      " name the file itself"
    )
  return kept


def _unique(
  recordings: Iterable[Recording], problems: Problems
) -> Iterator[Recording]:
  seen = set()
  for recording in recordings:
    if recording.id in seen:
      problems.add(f"{recording.path}: listed twice")
      continue
    seen.add(recording.id)
    yield recording


def _from_folder(
  root: Path, problems: Problems, apart: Path | None
) -> Iterator[Recording]:
  """Sound files below `root`; words from a .txt beside, or from names."""
  for path in sorted(root.glob("*")):
    if tables.is_table(path):
      logging.warning(
        "%s is not read; call it %s, or name the file itself",
        printable(path),
        f"manifest{path.suffix.lower()}",
      )
  walked = walk.sound_files(root, SUFFIXES, apart)
  for message in walked.skipped:
    problems.add(message)
  splits = _split_folders(root, walked.paths)
  texts = functools.cache(_texts)
  for path in walked.paths:
    top = path.relative_to(root).parts[0]
    try:
      caption, kind = captions.of_path(
        path, root / top if top in splits else root
      )
      own = _text_beside(path, texts(path.parent), problems) or (
        (caption,) if caption else ()
      )
      if not (own or kind):
        raise UserError(
          f"{path}: no words in its name or folder; put a .txt file with"
          " captions beside it, or write a manifest.csv"
        )
    except UserError as error:
      problems.add(str(error))
      continue
    yield Recording(
      id=str(path.relative_to(root)),
      path=path,
      captions=own,
      category=kind,
      split=_held(splits.get(top, "")),
    )


def _split_folders(root: Path, paths: Iterable[Path]) -> dict[str, str]:
  """The splits that folders below `root` are called as, if there are two.

  One alone may be a kind of sound: a train.
  """
  names = {path.relative_to(root).parts[0] for path in paths}
  splits = {
    name: corpora.SPLITS[name.lower()]
    for name in names
    if name.lower() in corpora.SPLITS
  }
  return splits if len(set(splits.values())) > 1 else {}


def _texts(folder: Path) -> dict[str, Path]:
  """The .txt files of a folder by their names without suffix."""
  return {
    normal(path.stem): path
    for path in sorted(folder.iterdir())
    if path.suffix.lower() == ".txt"
  }


def _text_beside(
  path: Path, texts: Mapping[str, Path], problems: Problems
) -> tuple[str, ...]:
  """Captions in the text of a sound's name: dog.txt or dog.wav.txt."""
  text = texts.get(normal(path.stem)) or texts.get(normal(path.name))
  if not text:
    return ()
  own = _usable(read_lines(text), str(text), problems)
  if not own:
    raise UserError(f"{text}: no caption; write one a line, or remove it")
  return own


def _corpus(path: Path) -> corpora.Corpus | None:
  """The published corpus that a CSV file belongs to."""
  if path.suffix.lower() != ".csv" or not path.is_file():
    return None
  with path.open("rb") as file:
    # Corpora have columns in ASCII: other encodings are refused by name later.
    head = file.read(_HEAD).replace(b"\0", b"").decode("ascii", "ignore")
  return corpora.of(tables.columns(head))


def _from_corpus(
  files: Iterable[Path], root: Path, problems: Problems, apart: Path | None
) -> Iterator[Recording]:
  """Clips with all their captions; what is not there is a problem."""
  clips = corpora.Clips(root, apart)
  for message in clips.skipped:
    problems.add(message)
  for file in files:
    corpus, split = _corpus(file), corpora.split_of(file)
    of_clip = collections.defaultdict(list)
    for line, row in tables.rows(file, problems.add):
      where = f"{file}:{line}"
      stems = corpus.stems(row)
      path = clips.find(stems, split)
      if not path:
        what = f"clip {stems[0]}" if stems else "name of a clip"
        problems.add(f"{where}: no {what} ({corpus.name})")
      elif not any(_given(row)):
        problems.add(f"{where}: no caption ({corpus.name})")
      else:
        of_clip[path] += _usable(_given(row), where, problems)
    for path, own in of_clip.items():
      if not own:
        continue
      yield Recording(
        id=str(path.relative_to(root)),
        path=path,
        captions=_distinct(own),
        split=_held(split),
      )


def _from_manifest(
  manifest: Path, root: Path, problems: Problems
) -> Iterator[Recording]:
  warned = False
  for line, row in tables.rows(manifest, problems.add):
    where = f"{manifest}:{line}"
    known = [
      c for c in row if c in WORD_COLUMNS or tables.CAPTION_COLUMN.fullmatch(c)
    ]
    if not (known or warned):
      warned = True
      logging.warning(
        "%s: no caption, category or title in columns %s; names of files are"
        " taken for captions", where, ", ".join(map(printable, row)),
      )  # fmt: skip
    file = next((row[c] for c in tables.PATH_COLUMNS if row.get(c)), "")
    if not file:
      columns = " / ".join(tables.PATH_COLUMNS[:3])
      problems.add(f"{where}: no {columns}; it has {', '.join(row)}")
      continue
    try:
      path = tables.place(file, root)
      own = _usable(_given(row), where, problems)
      if own or not any(_given(row)):
        yield _from_row(row, path, root, own)
    except UserError as error:
      problems.add(f"{where}: {error}")


def _from_row(
  row: Mapping, path: Path, root: Path, own: tuple[str, ...]
) -> Recording:
  name = os.path.relpath(path, root)
  if not is_text(name):
    raise UserError(f"{printable(name)}: its name is not UTF-8 text; rename it")
  recording = Recording(
    id=name,
    path=path,
    captions=own,
    category=_text(row, *CATEGORY_COLUMNS),
    title=_text(row, *TITLE_COLUMNS),
    section=_text(row, "section") or ("misc" if "section" in row else ""),
    split=_split(_text(row, "split")),
    fold=_text(row, "fold"),
  )
  if not (recording.captions or recording.category or recording.section):
    title = recording.title
    words = title if " " in title else captions.title(title or path.stem)
    if not words:
      raise UserError(f"{name}: no caption and no category")
    recording = dataclasses.replace(recording, captions=(words,))
  return recording


def _text(row: Mapping, *columns: str) -> str:
  for column in columns:
    value = row.get(column)
    if isinstance(value, int | float) and not isinstance(value, bool):
      value = str(value)  # JSON has folds and labels that are numbers.
    if value := captions.cleaned(value, column):
      return value
  return ""


def _given(row: Mapping) -> Iterator[Any]:
  """Of caption, captions (one or a list), and caption_1, caption_2, ..."""
  for column, value in row.items():
    if tables.CAPTION_COLUMN.fullmatch(column):
      yield from value if isinstance(value, list) else [value]


def _usable(
  given: Iterable[Any], where: str, problems: Problems
) -> tuple[str, ...]:
  """The captions that may be trained on; others are problems."""
  usable = []
  for caption in given:
    try:
      usable.append(captions.cleaned(caption))
    except UserError as error:
      problems.add(f"{where}: {error}")
  return _distinct(filter(None, usable))


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
  """Each once, whatever its normal form."""
  first: dict[str, str] = {}
  for text in texts:
    first.setdefault(normal(text), text)
  return tuple(first.values())


def _split(name: str) -> str:
  if not name:
    return ""
  if name.lower() not in corpora.SPLITS:
    raise UserError(f"split {name!r}; known: {', '.join(corpora.SPLITS)}")
  return _held(corpora.SPLITS[name.lower()])


def _held(split: str) -> str:
  """What is for tests validates, where it is asked for."""
  return "validation" if split == corpora.TEST else split


def folds(recordings: Iterable[Recording]) -> dict[str, int]:
  """How many recordings each fold has."""
  return dict(collections.Counter(r.fold for r in recordings if r.fold))
