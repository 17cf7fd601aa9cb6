"""Are two sounds in a prompt both there, and in their order?

  python -m benchmarks.pairs --manifest OPEN/manifest.csv \\
    --manifest ESC10/manifest.csv --cache runs/judge --out runs/pairs

The kinds are those with the most withheld recordings. Each pair of them gets
two sequences ("a dog barking, then rain falling", and the other way round) and
a mixture ("a dog barking and rain falling"). benchmarks.judge scores the first
and the second half of a sequence, and the whole of a mixture.

  order    share of sequences whose halves, by their scores, are in the order
           of the prompt rather than in the other one; chance: 50 %
  top 5    share of the two sounds of a mixture that are among the judge's five
           best kinds

"real": the same of withheld recordings, joined as prepare-data does, and mixed
equally loud.
"""

import argparse
import collections
import json

import numpy as np

from benchmarks import judge as kinds_judge
from benchmarks import kinds
from benchmarks.judge import Judge, Recordings, read
from benchmarks.kinds import Wanted
from benchmarks.quality import RATE, SECONDS
from siren_jax.data import augment
from siren_jax.data.captions import phrasebook
from siren_jax.data.preparation import layouts

_BEST = 5
_MOST = 40  # kinds, by their number of withheld recordings

Pair = tuple[str, str]


def drawn_pairs(names: list[str], count: int, seed: int) -> list[Pair]:
  """Different pairs of different kinds."""
  rng = np.random.default_rng(seed)
  pairs: dict[Pair, None] = {}
  while len(pairs) < count:
    first, second = rng.choice(names, 2, replace=False)
    if (second, first) not in pairs:
      pairs[str(first), str(second)] = None
  return list(pairs)


def common(real: Recordings) -> list[str]:
  """The kinds of the book with the most recordings."""
  known = set(phrasebook.categories())
  counts = collections.Counter(str(x) for x in real.kinds if x in known)
  return sorted(counts, key=lambda name: (-counts[name], name))[:_MOST]


def both_ways(pairs: list[Pair]) -> list[Pair]:
  return [*pairs, *((second, first) for first, second in pairs)]


def prompted(pairs: list[Pair], joint: str) -> list[Wanted]:
  """One sound for each pair; `joint` stands between the two examples."""
  return [
    Wanted(
      f"{first}{joint}{second}".replace(",", ""),
      "pair",
      f"{phrasebook.example(first)}{joint}{phrasebook.example(second)}",
    )
    for first, second in pairs
  ]


def joined(pairs: list[Pair], real: Recordings, seed: int) -> list[np.ndarray]:
  """Sequences of withheld recordings."""
  rng = np.random.default_rng(seed)
  size = layouts.share(SECONDS * RATE, 2, RATE)

  def part(kind: str) -> np.ndarray:
    return layouts.trimmed(_recording(kind, real, rng), RATE)[:size]

  return [
    layouts.in_order([part(kind) for kind in pair], RATE, rng) for pair in pairs
  ]


def mixed(pairs: list[Pair], real: Recordings, seed: int) -> list[np.ndarray]:
  """Mixtures of withheld recordings, equally loud where they are audible."""
  rng = np.random.default_rng(seed)

  def part(kind: str) -> np.ndarray:
    audio_S = layouts.levelled(_recording(kind, real, rng), RATE)
    return np.pad(audio_S, (0, SECONDS * RATE - audio_S.size))

  return [augment.limit(sum(part(kind) for kind in pair)) for pair in pairs]


def _recording(
  kind: str, real: Recordings, rng: np.random.Generator
) -> np.ndarray:
  return read(rng.choice(real.paths[real.kinds == kind]))


def in_order(
  judge: Judge, pairs: list[Pair], clips: list[np.ndarray]
) -> np.ndarray:
  """Whether each clip [N] has its two sounds in the order of the pair."""
  halves = [np.array_split(clip, 2) for clip in clips]
  first_NxK, second_NxK = (judge.scores(half) for half in zip(*halves))
  row_N = np.arange(len(pairs))
  a_N, b_N = np.searchsorted(judge.kinds, pairs).T
  right_N = first_NxK[row_N, a_N] + second_NxK[row_N, b_N]
  return right_N > first_NxK[row_N, b_N] + second_NxK[row_N, a_N]


def measure(args) -> dict[str, dict[str, float]]:
  judge, real = kinds_judge.trained(args)
  pairs = drawn_pairs(common(real), args.pairs, args.seed)
  ordered = both_ways(pairs)

  def sounds(pairs: list[Pair], joint: str) -> list[np.ndarray]:
    return [read(path) for path in kinds.make(prompted(pairs, joint), args)]

  def table(sequences, mixtures) -> dict[str, float]:
    ranks = [judge.ranks(mixtures, side) for side in zip(*pairs)]
    return {
      "order": float(in_order(judge, ordered, sequences).mean()),
      "sequences": len(ordered),
      "top 5": float((np.stack(ranks) < _BEST).mean()),
      "mixtures": len(pairs),
    }

  return {
    "real": table(
      joined(ordered, real, args.seed), mixed(pairs, real, args.seed)
    ),
    "generated": table(sounds(ordered, ", then "), sounds(pairs, " and ")),
  }


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  kinds.add_arguments(parser)
  parser.add_argument("--pairs", type=int, default=50)
  args = parser.parse_args()
  table = measure(args)
  for name, row in table.items():
    print(
      f"{name:12} order {100 * row['order']:5.1f} % of {row['sequences']},"
      f" top 5 {100 * row['top 5']:5.1f} % of {row['mixtures']} mixtures"
    )
  if args.json:
    args.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
  main()
