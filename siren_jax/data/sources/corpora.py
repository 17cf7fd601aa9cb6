"""How AudioCaps and Clotho say what is what: columns, file names, splits.

Both publish captions as CSV files. AudioCaps publishes no audio: which name a
clip has depends on who fetched it, and many are no longer to be had.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from absl import logging

from siren_jax.audio.sound_files import SUFFIXES
from siren_jax.common.errors import UserError
from siren_jax.common.text import normal
from siren_jax.data.sources import captions, splits, tables, walk
from siren_jax.data.sources.problems import Problems
from siren_jax.data.sources.recording import Recording
from siren_jax.data.sources.tables import Row

_CLIP_SECONDS = 10  # of AudioSet, where AudioCaps' clips are from
_HEAD = 1 << 16  # bytes of a CSV file in which its columns are looked for


@dataclasses.dataclass(frozen=True)
class Corpus:
  """A published data set.

  Attributes:
    name: what it is called.
    columns: by which its CSV files are known.
    stems: of a row, the names without suffix that its clip may have; none
      where the row is broken.
  """

  name: str
  columns: frozenset[str]
  stems: Callable[[Row], list[str]]


def of(columns: Iterable[str]) -> Corpus | None:
  """The corpus whose CSV files have these columns."""
  columns = {(c or "").strip().lower() for c in columns}
  return next((c for c in _CORPORA if c.columns <= columns), None)


def of_file(path: Path) -> Corpus | None:
  """The published corpus that a CSV file belongs to."""
  if path.suffix.lower() != ".csv" or not path.is_file():
    return None
  with path.open("rb") as file:
    # Corpora have columns in ASCII: other encodings are refused by name later.
    head = file.read(_HEAD).replace(b"\0", b"").decode("ascii", "ignore")
  return of(tables.columns(head))


def without_test(files: Sequence[Path]) -> list[Path]:
  """The CSV files of a corpus but for its test split.

  Raises:
    UserError: there is nothing else, or a name does not say which split it is.
  """
  split_of = {path: splits.of_file(path) for path in files}
  for path, split in split_of.items():
    if split == splits.TEST:
      logging.warning("%s: test split skipped; use siren-jax evaluate", path)
    elif not split and len(files) > 1:
      raise UserError(
        f"{path}: unknown split; name the files train.csv, val.csv, test.csv"
      )
  kept = [path for path, split in split_of.items() if split != splits.TEST]
  if not kept:
    raise UserError(
      f"{files[0]}: a test split alone; give the training split too, or"
      " name the file itself"
    )
  return kept


def read(
  files: Iterable[Path], root: Path, problems: Problems, apart: Path | None
) -> Iterator[Recording]:
  """Clips with all their captions; what is not there is a problem."""
  clips = Clips(root, apart)
  for message in clips.skipped:
    problems.add(message)
  for file in files:
    corpus, split = of_file(file), splits.of_file(file)
    assert corpus is not None  # It was looked at before.
    captions_of: dict[Path, tuple[str, ...]] = collections.defaultdict(tuple)
    for line, row in tables.rows(file, problems.add):
      where = f"{file}:{line}"
      stems = corpus.stems(row)
      path = clips.find(stems, split)
      given = tables.captions(row)
      if not path:
        what = f"clip {stems[0]}" if stems else "name of a clip"
        problems.add(f"{where}: no {what} ({corpus.name})")
      elif not any(given):
        problems.add(f"{where}: no caption ({corpus.name})")
      else:
        captions_of[path] += captions.usable(given, where, problems.add)
    for path, own in captions_of.items():
      if not own:
        continue
      yield Recording(
        id=str(path.relative_to(root)),
        path=path,
        captions=captions.distinct(own),
        split=splits.without_test(split),
      )


class Clips:
  """The sound files below `root`, but for those below `apart`, by name.

  `skipped` has what the walk to them left out, a line each.
  """

  def __init__(self, root: Path, apart: Path | None = None):
    self._root = root
    self._paths: dict[str, list[Path]] = collections.defaultdict(list)
    walked = walk.sound_files(root, SUFFIXES, apart)
    self.skipped = walked.skipped
    for path in walked.paths:
      self._paths[normal(path.stem)].append(path)

  def find(self, stems: Iterable[str], split: str) -> Path | None:
    """The first that is there; rather in a folder that is called as `split`."""

    def fits(path: Path) -> bool:
      folders = path.relative_to(self._root).parts[:-1]
      return any(splits.NAMES.get(name.lower()) == split for name in folders)

    for stem in stems:
      paths = self._paths.get(normal(stem))
      if paths:
        return next(filter(fits, paths), paths[0])
    return None


def _audiocaps(row: Row) -> list[str]:
  """The names that the usual tools for fetching give."""
  name = row.get("youtube_id")
  try:
    start = round(float(row["start_time"]))
  except (KeyError, TypeError, ValueError, OverflowError):
    return []
  if not name:
    return []
  end = start + _CLIP_SECONDS
  whole = [name, f"{name}_{start}", f"{name}_{start}_{end}"]
  whole.append(f"{name}_{start * 1000}_{end * 1000}")
  return [*whole, *(f"Y{stem}" for stem in whole), row.get("audiocap_id") or ""]


def _clotho(row: Row) -> list[str]:
  return [Path(row["file_name"]).stem] if row.get("file_name") else []


_CORPORA = (
  Corpus(
    "AudioCaps",
    frozenset(("audiocap_id", "youtube_id", "start_time", "caption")),
    _audiocaps,
  ),
  Corpus(
    "Clotho",
    frozenset(("file_name", *(f"caption_{i}" for i in range(1, 6)))),
    _clotho,
  ),
)
