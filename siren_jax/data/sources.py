"""Finds recordings and what is known of them; reads no audio.

Layouts, told apart by looking: a manifest (CSV or JSONL, or a folder that
holds manifest.csv / manifest.jsonl), ESC-50 (audio/ and meta/esc50.csv),
AudioCaps and Clotho (their CSV files, and clips somewhere below the folder),
and a plain folder of sound files.
"""

import collections
import csv
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from absl import logging

from siren_jax.common.errors import UserError
from siren_jax.data import corpora
from siren_jax.data.audio import SUFFIXES

MANIFESTS = ("manifest.csv", "manifest.jsonl")
ESC50 = Path("meta", "esc50.csv")
PATH_COLUMNS = ("path", "file", "audio", "filename", "file_name")
MAX_SHOWN = 3
_LONGEST_HEAD = 10_000  # characters of a CSV file's first line


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
    apart: folder in which no clip of a corpus is looked for.

  Raises:
    UserError: no such source, an unreadable manifest, or no usable entry.
  """
  source = Path(source)
  problems = problems or Problems()
  if not source.exists():
    raise UserError(f"{source}: no such file or folder; check the path")
  apart = Path(apart) if apart else None
  recordings = list(_unique(_read(source, problems, apart), problems))
  if not recordings:
    raise UserError(
      f"{source}: no usable recording; "
      + (problems.summary() or f"looked for {', '.join(SUFFIXES)}")
    )
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
  return _from_folder(source)


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


def _from_folder(root: Path) -> Iterator[Recording]:
  """Sound files below `root`; words from a .txt beside, the name or folder."""
  for path in sorted(root.rglob("*")):
    if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
      continue
    captions = _text_beside(path)
    words = "" if captions else _words(path.stem)
    in_subfolder = path.parent != root
    yield Recording(
      id=str(path.relative_to(root)),
      path=path,
      captions=captions or ((words,) if words else ()),
      category=_words(path.parent.name) if in_subfolder else "",
    )


def _text_beside(path: Path) -> tuple[str, ...]:
  text = path.with_suffix(".txt")
  if not text.exists():
    return ()
  lines = text.read_text("utf-8", errors="replace").splitlines()
  return tuple(line.strip() for line in lines if line.strip())


def _words(name: str) -> str:
  """Words of a file or folder name, without numbers: "dog-bark_02"."""
  letters = "".join(c if c.isalpha() or c == "'" else " " for c in name)
  words = letters.lower().split()
  return " ".join(words) if any(len(w) > 1 for w in words) else ""


def _corpus(path: Path) -> corpora.Corpus | None:
  """The published corpus that a CSV file belongs to."""
  if path.suffix.lower() != ".csv" or not path.is_file():
    return None
  with path.open(encoding="utf-8-sig", errors="replace") as file:
    return corpora.of(next(csv.reader([file.readline(_LONGEST_HEAD)]), []))


def _from_corpus(
  files: Iterable[Path], root: Path, problems: Problems, apart: Path | None
) -> Iterator[Recording]:
  """Clips with all their captions; what is not there is a problem."""
  clips = corpora.Clips(root, apart)
  for file in files:
    corpus, split = _corpus(file), corpora.split_of(file)
    captions = collections.defaultdict(list)
    for line, row in _rows(file, problems):
      stems = corpus.stems(row)
      path = clips.find(stems, split)
      if path and _captions(row):
        captions[path] += _captions(row)
        continue
      what = f"clip {stems[0]}" if stems else "name of a clip"
      what = "caption" if path else what
      problems.add(f"{file}:{line}: no {what} ({corpus.name})")
    for path, told in captions.items():
      yield Recording(
        id=str(path.relative_to(root)),
        path=path,
        captions=tuple(dict.fromkeys(told)),
        split=_held(split),
      )


def _from_manifest(
  manifest: Path, root: Path, problems: Problems
) -> Iterator[Recording]:
  for line, row in _rows(manifest, problems):
    file = next((row[c] for c in PATH_COLUMNS if row.get(c)), "")
    if not file:
      problems.add(f"{manifest}:{line}: no {' / '.join(PATH_COLUMNS[:3])}")
      continue
    path = root / str(file)
    if not path.is_file():
      problems.add(f"{manifest}:{line}: {path}: no such file")
      continue
    try:
      yield _from_row(row, str(file), path)
    except UserError as error:
      problems.add(f"{manifest}:{line}: {error}")


def _from_row(row: Mapping, file: str, path: Path) -> Recording:
  recording = Recording(
    id=file,
    path=path,
    captions=_captions(row),
    category=_text(row, "category", "label"),
    title=_text(row, "source_title", "title", "name"),
    section=_text(row, "section") or ("misc" if "section" in row else ""),
    split=_split(_text(row, "split")),
    fold=_text(row, "fold"),
  )
  if not (recording.captions or recording.category or recording.section):
    title = recording.title
    words = title if " " in title else _words(title or path.stem)
    if not words:
      raise UserError(f"{file}: no caption and no category")
    recording = dataclasses.replace(recording, captions=(words,))
  return recording


def _rows(manifest: Path, problems: Problems) -> Iterator[tuple[int, dict]]:
  """Line numbers and rows; keys in lower case."""
  try:
    text = manifest.read_text("utf-8-sig")
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{manifest}: cannot be read as UTF-8 text") from error
  if manifest.suffix.lower() == ".csv":
    reader = csv.DictReader(text.splitlines())
    try:
      for row in reader:
        yield reader.line_num, {(k or "").strip().lower(): row[k] for k in row}
    except csv.Error as error:
      raise UserError(
        f"{manifest}:{reader.line_num}: {error}; look for a quote that is not"
        " closed"
      ) from error
    return
  for line, content in enumerate(text.splitlines(), 1):
    if not content.strip():
      continue
    try:
      row = json.loads(content)
      yield line, {str(k).lower(): v for k, v in row.items()}
    except (json.JSONDecodeError, AttributeError):
      problems.add(f"{manifest}:{line}: not a JSON object")


def _text(row: Mapping, *columns: str) -> str:
  value = next((row[c] for c in columns if row.get(c) not in (None, "")), "")
  return str(value).strip()


def _captions(row: Mapping) -> tuple[str, ...]:
  """From caption, captions (text or list) and caption_1, caption_2, ..."""
  found = []
  for column, value in row.items():
    if column in ("caption", "captions") or column.startswith("caption_"):
      values = value if isinstance(value, list) else [value]
      found += [str(v).strip() for v in values if v is not None]
  return tuple(dict.fromkeys(c for c in found if c))


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
