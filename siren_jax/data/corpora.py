"""How AudioCaps and Clotho say what is what: columns, file names, splits.

Both publish captions as CSV files. AudioCaps publishes no audio: which name a
clip has depends on who fetched it, and many are no longer to be had.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from siren_jax.data.audio import SUFFIXES

Row = Mapping[str, str]
TEST = "test"  # is evaluated on, and never prepared for training
_CLIP_SECONDS = 10  # of AudioSet, where AudioCaps' clips are from
_SPLITS = {
  "train": "train",
  "development": "train",
  "val": "validation",
  "validation": "validation",
  "test": TEST,
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
  """ "train", "validation", "test" or "", by the last word of the name."""
  return _SPLITS.get(path.stem.lower().split("_")[-1], "")


class Clips:
  """The sound files below a folder, found by their names."""

  def __init__(self, root: Path):
    self._paths: dict[str, list[Path]] = {}
    for folder, subfolders, names in os.walk(root, followlinks=True):
      subfolders.sort()
      for path in (Path(folder, name) for name in sorted(names)):
        if path.suffix.lower() in SUFFIXES:
          self._paths.setdefault(path.stem, []).append(path)

  def find(self, stems: Iterable[str], near: str) -> Path | None:
    """The first that is there; rather in a folder that is called `near`."""
    for stem in stems:
      paths = self._paths.get(stem)
      if paths:
        return next((p for p in paths if near in p.parts), paths[0])
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
