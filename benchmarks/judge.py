"""What kind of sound is it? A judge of several hundred kinds.

  python -m benchmarks.judge --manifest OPEN/manifest.csv \\
    --manifest ESC10/manifest.csv --cache runs/judge

Kernel ridge regression over statistics of a clip's spectrogram, for few clips
a kind. It knows nothing of the project's CLAP, nor of how loud a clip is. It is
trained on all folds but the held-out one, each clip with varied copies
(repeated with gaps, faster or slower, through another equaliser, with hiss),
and names the clips of the held-out fold.

  top 1, top 5   share of clips whose kind is its first guess, or one of five

Manifests have the columns file, fold and category. Kinds go by the names of the
phrase book; those without a clip to learn from do not count. Features are kept
in `--cache`, by the content of the clip and of judge_features.py.
"""

import argparse
import csv
import dataclasses
import json
import pathlib
import time
from collections.abc import Iterable

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks import judge_features
from benchmarks.judge_features import COPIES, features, rows_of
from benchmarks.quality import RATE, SECONDS
from siren_jax.audio.sound_files import read_audio
from siren_jax.common.errors import UserError
from siren_jax.data.captions import phrasebook
from siren_jax.evaluation.cache import Cache
from siren_jax.storage import fingerprint

BEST = {"top 1": 1, "top 5": 5}
_RIDGE = 0.1


@dataclasses.dataclass(frozen=True)
class Recordings:
  """Clips of some manifests, [N] each; `sets` are the manifests' folders."""

  paths: np.ndarray
  sets: np.ndarray
  kinds: np.ndarray
  folds: np.ndarray

  @classmethod
  def of(cls, manifests: Iterable[pathlib.Path]) -> "Recordings":
    columns = []
    for manifest in manifests:
      with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
      for name in ("file", "category", "fold"):
        if not rows or name not in rows[0]:
          raise UserError(
            f"{manifest}: no column {name}; leave this manifest out"
          )
      columns += [
        (
          manifest.parent / row["file"],
          manifest.parent.name,
          phrasebook.canonical(row["category"]),
          row["fold"],
        )
        for row in rows
      ]
    return cls(*map(np.array, zip(*columns, strict=True)))

  def __getitem__(self, chosen) -> "Recordings":
    columns = dataclasses.astuple(self)
    return Recordings(*(column[chosen] for column in columns))

  def __len__(self) -> int:
    return len(self.paths)

  def drawn(self, count: int | None, seed: int) -> "Recordings":
    """So many of them, or all."""
    order = np.random.default_rng(seed).permutation(len(self))
    return self[np.sort(order[:count])]


def read(path: pathlib.Path) -> np.ndarray:
  """The first seconds of a recording, as long as a sound that is made."""
  return read_audio(path, RATE)[0][: SECONDS * RATE]


class Judge:
  """Kernel ridge regression over `features`, trained on `recordings`."""

  def __init__(self, recordings: Recordings, cache: pathlib.Path | None = None):
    self._cache = Cache(cache)
    self._version = fingerprint.of_file(pathlib.Path(judge_features.__file__))
    rows = [self._rows(path) for path in recordings.paths]
    self.kinds, number_N, counts = np.unique(
      recordings.kinds, return_inverse=True, return_counts=True
    )
    features_NxF = np.concatenate(np.stack(rows, 1))
    number_N = np.tile(number_N, 1 + COPIES)
    self._machine = make_pipeline(
      StandardScaler(),
      FunctionTransformer(np.clip, kw_args={"a_min": -4, "a_max": 4}),
      KernelRidge(
        kernel="rbf", alpha=_RIDGE, gamma=0.5 / features_NxF.shape[1]
      ),
    )
    # Rare kinds count more, so that all are guessed.
    self._machine.fit(
      features_NxF,
      np.eye(len(counts))[number_N] - counts / counts.sum(),
      kernelridge__sample_weight=np.sqrt(counts.mean() / counts)[number_N],
    )

  def ranks(self, clips: Iterable[np.ndarray], kinds: Iterable) -> np.ndarray:
    """Number of kinds [N] that it prefers to the right one, by clip."""
    return self._ranks([features(x) for x in clips], kinds)

  def ranks_of(self, recordings: Recordings) -> np.ndarray:
    """The same of recordings."""
    rows = [self._rows(path)[0] for path in recordings.paths]
    return self._ranks(rows, recordings.kinds)

  def scores(self, clips: Iterable[np.ndarray]) -> np.ndarray:
    """Scores [N, K] of clips, for each of `kinds`."""
    return self._machine.predict(np.stack([features(x) for x in clips]))

  def _ranks(self, rows: list[np.ndarray], kinds: Iterable) -> np.ndarray:
    scores = self._machine.predict(np.stack(rows))
    right = np.searchsorted(self.kinds, list(kinds))
    return (scores > np.take_along_axis(scores, right[:, None], 1)).sum(1)

  def _rows(self, path: pathlib.Path) -> np.ndarray:
    """Features of a recording and of its copies, [1 + COPIES, F]."""
    content = fingerprint.of_file(path)
    if entry := self._cache.get(self._version, content):
      return entry[0]["features"]
    rows = rows_of(read(path), seed=int(content[:16], 16))
    self._cache.put(self._version, content, {"features": rows}, ())
    return rows


def shares(ranks: np.ndarray) -> dict[str, float]:
  """Of clips named right, by the names in `BEST`; and their number."""
  return {name: float((ranks < n).mean()) for name, n in BEST.items()} | {
    "clips": len(ranks)
  }


def by(labels: Iterable, ranks: np.ndarray) -> dict[str, dict[str, float]]:
  """`shares` of each label."""
  labels = np.array(list(labels))
  return {str(x): shares(ranks[labels == x]) for x in np.unique(labels)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("--manifest", type=pathlib.Path, action="append", required=True)
  add("--fold", default="4", help="withheld from the judge")
  add("--cache", type=pathlib.Path, help="folder of the judge's features")
  add("--json", type=pathlib.Path, help="where all figures are written")


def trained(args, swap: bool = False) -> tuple[Judge, Recordings]:
  """The judge, and all other clips of the kinds that it knows.

  It learns from all folds but the withheld one, or from that one (`swap`).
  """
  recordings = Recordings.of(args.manifest)
  learned = (recordings.folds != args.fold) ^ swap
  start = time.perf_counter()
  judge = Judge(recordings[learned], args.cache)
  print(
    f"judge: {len(judge.kinds)} kinds of {learned.sum()} clips,"
    f" {time.perf_counter() - start:.0f} s"
  )
  known = np.isin(recordings.kinds, judge.kinds)
  return judge, recordings[~learned & known]


def line(name: str, row: dict[str, float]) -> str:
  cells = (f"{100 * row[x]:7.1f}" for x in BEST)
  return f"{name:28}{''.join(cells)}{row['clips']:7d}"


def head(name: str) -> str:
  cells = (f"{x:>7}" for x in (*BEST, "clips"))
  return f"{name:28}{''.join(cells)}"


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  add_arguments(parser)
  args = parser.parse_args()
  judge, held = trained(args)
  ranks = judge.ranks_of(held)
  table = {"all": shares(ranks), "kinds": by(held.kinds, ranks)}
  print(head("kind"))
  for name, row in table["kinds"].items():
    print(line(name, row))
  print(line("all", table["all"]))
  if args.json:
    args.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
  main()
