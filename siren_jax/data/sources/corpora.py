"""How AudioCaps and Clotho say what is what: columns, file names, splits.

Both publish captions as CSV files. AudioCaps publishes no audio: which name a
clip has depends on who fetched it, and many are no longer to be had.
"""

import collections
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from siren_jax.audio.sound_files import SUFFIXES
from siren_jax.common.text import normal
from siren_jax.data.sources import walk

Row = Mapping[str, str]
TEST = "test"  # is evaluated on, and never prepared for training
_CLIP_SECONDS = 10  # of AudioSet, where AudioCaps' clips are from
# Words of file names and of `split` columns.
SPLITS = {
  "train": "train",
  "training": "train",
  "development": "train",
  "validation": "validation",
  "valid": "validation",
  "val": "validation",
  "dev": "validation",
  "test": TEST,
  "testing": TEST,
  "eval": TEST,
  "evaluation": TEST,
}


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


def split_of(path: Path) -> str:
  """ "train", "validation", "test" or "", by the words of the file's name."""
  words = re.split(r"[\W_]+", path.stem.lower())
  return next((SPLITS[w] for w in reversed(words) if w in SPLITS), "")


class Clips:
  """The sound files below `root`, but for those below `apart`, by name.

  `skipped` has what the walk to them left out, a line each.
  """

  def __init__(self, root: Path, apart: Path | None = None):
    self._root, self._paths = root, collections.defaultdict(list)
    walked = walk.sound_files(root, SUFFIXES, apart)
    self.skipped = walked.skipped
    for path in walked.paths:
      self._paths[normal(path.stem)].append(path)

  def find(self, stems: Iterable[str], split: str) -> Path | None:
    """The first that is there; rather in a folder that is called as `split`."""

    def fits(path: Path) -> bool:
      folders = path.relative_to(self._root).parts[:-1]
      return any(SPLITS.get(name.lower()) == split for name in folders)

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
