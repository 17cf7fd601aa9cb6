"""Are the kinds of sound that a model makes heard as what was asked for?

  python -m benchmarks.kinds --manifest OPEN/manifest.csv \\
    --manifest ESC10/manifest.csv --model siren-small --out runs/kinds

Kinds that have withheld clips come first, then others, in an order that --seed
draws. Each gets its example ("plain") and phrasings that are in no training
caption ("free"): held-out ones of the phrase book, or those of --prompts.
benchmarks/prompts/ has two such files, each by another author: "natural" as
people type, "described" without the usual word. benchmarks.judge names the
sounds, and the withheld recordings of the same kinds ("real"); a figure is a
mean over kinds, and the ratios are over the kinds that have withheld
recordings.

The judge learns from the folds that the model was trained on: a model that
repeats its recordings beats those of other authors. With --swap the judge
learns from the withheld fold alone, and the real clips are the others.

Of the sounds as files: integrated loudness of those whose prompt does not speak
of level, highest peak, first and last sample, constant part. Sounds are kept in
a folder of --out that goes by model and settings, under names that go by what
the prompts expand to, and not made again; prompts that expand to the same share
them.
"""

import argparse
import collections
import dataclasses
import itertools
import json
import pathlib
import re
import time
from collections.abc import Mapping, Sequence

import numpy as np

import siren_jax
from benchmarks import judge as kinds_judge
from benchmarks.judge import BEST, Recordings, by, read
from benchmarks.quality import RATE, SECONDS
from siren_jax.audio import loudness
from siren_jax.audio.sound_files import write_audio
from siren_jax.common import files
from siren_jax.data.captions import phrasebook
from siren_jax.storage import fingerprint, folders

LEVEL_WORDS = re.compile(
  r"\b(?:loud|quiet|soft|faint|gentl|distan|deafen|hush|muffl|whisper)"
  r"|\b(?:far|near|nearby)\b"
)
SETS = ("plain", "free")


@dataclasses.dataclass(frozen=True)
class Wanted:
  """A sound to be made."""

  kind: str
  set: str  # of SETS
  prompt: str
  draw: int = 0  # added to the seed


def chosen_kinds(known, real: Recordings, count: int, seed: int) -> list[str]:
  """At most `count` kinds of the book, those with real clips first."""
  names = sorted(set(known) & set(phrasebook.categories()))
  names = [str(x) for x in np.random.default_rng(seed).permutation(names)]
  return sorted(names, key=lambda name: name not in real.kinds)[:count]


def wanted(
  kinds: list[str],
  draws: int,
  free: Mapping[str, Sequence[str]],
) -> list[Wanted]:
  """The example of each kind, and its free phrasings."""
  return [
    Wanted(kind, name, text, draw)
    for kind in kinds
    for name, texts in (
      ("plain", [phrasebook.example(kind)]),
      ("free", free[kind]),
    )
    for text in texts
    for draw in range(draws)
  ]


def phrasings(kinds: list[str], args) -> dict[str, list[str]]:
  """Of each kind, as the arguments say."""
  if args.prompts:
    texts = files.read_json(args.prompts, "give prompts of each kind, as JSON")
  else:
    texts = {kind: phrasebook.held_out(kind) for kind in kinds}
  return {kind: list(texts[kind][: args.phrasings]) for kind in kinds}


def file_name(expanded: str, draw: int) -> str:
  """By the expanded prompt, as expansion is not in the bundle."""
  words = re.sub(r"\W+", "_", expanded)[:40]
  version = fingerprint.short(fingerprint.of_values([expanded]))
  return f"{words}-{version}-{draw}.wav"


def make(sounds: list[Wanted], args) -> list[pathlib.Path]:
  """Files of the sounds; those that are there are kept."""
  bundle = folders.find(args.model)
  settings = json.loads(args.settings)
  if args.candidates:
    settings["candidates"] = args.candidates
  version = fingerprint.of_values(
    [
      fingerprint.of_files(sorted(bundle.iterdir())),
      settings,
      args.seed,
    ]
  )
  folder = args.out / fingerprint.short(version)
  model = siren_jax.load(bundle, expand=not args.no_expand)
  draws = [(model.expanded(sound.prompt), sound.draw) for sound in sounds]
  paths = [folder / file_name(text, draw) for text, draw in draws]
  missing = {p: draw for p, draw in zip(paths, draws) if not p.exists()}
  if not missing:
    return paths
  folder.mkdir(parents=True, exist_ok=True)
  start = time.perf_counter()
  for path, (text, draw) in missing.items():
    key = args.seed + draw
    audio_S = model.generate(text, SECONDS, key=key, **settings)[0]
    write_audio(path, audio_S, model.sample_rate)
  seconds = time.perf_counter() - start
  print(f"{len(missing)} sounds, {seconds / len(missing):.1f} s each")
  return paths


def means(rows: dict[str, dict[str, float]]) -> dict[str, float]:
  """Over kinds; and the number of clips."""
  return {
    name: float(np.mean([row[name] for row in rows.values()])) for name in BEST
  } | {"clips": sum(row["clips"] for row in rows.values())}


def grouped(rows: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
  """`means` of each group of kinds."""
  groups = collections.defaultdict(dict)
  for kind, row in rows.items():
    groups[phrasebook.group(kind)][kind] = row
  return {name: means(groups[name]) for name in sorted(groups)}


def figures(kinds: dict[str, dict[str, dict[str, float]]]) -> dict:
  """By set and then kind: means, groups, and ratios to the real ones."""
  real = kinds["real"]
  table = {
    name: {"all": means(rows), "groups": grouped(rows), "kinds": rows}
    for name, rows in kinds.items()
  }
  for name in kinds.keys() & SETS:
    both = means({kind: kinds[name][kind] for kind in real})
    table[name]["of real"] = {x: both[x] / means(real)[x] for x in BEST}
  return table


def signal(sounds: list[Wanted], clips: list[np.ndarray]) -> dict[str, float]:
  """What is to be even or small in all sounds, and the worst that is there."""
  levels = [
    loudness.integrated(clip, RATE)
    for sound, clip in zip(sounds, clips)
    if not LEVEL_WORDS.search(sound.prompt.lower())
  ]
  return {
    "LUFS, lowest": min(levels),
    "LUFS, highest": max(levels),
    "LUFS, spread": max(levels) - min(levels),
    "LUFS, sounds": len(levels),
    "highest peak": max(float(np.abs(x).max()) for x in clips),
    "highest first or last sample": max(
      float(np.abs(x[[0, -1]]).max()) for x in clips
    ),
    "highest constant part": max(float(np.abs(x.mean())) for x in clips),
  }


def measure(args) -> dict:
  judge, real = kinds_judge.trained(args, args.swap)
  kinds = chosen_kinds(judge.kinds, real, args.kinds, args.seed)
  real = real[np.isin(real.kinds, kinds)]
  sounds = wanted(kinds, args.draws, phrasings(kinds, args))
  clips = [read(path) for path in make(sounds, args)]
  named = {"real": by(real.kinds, judge.ranks_of(real))}
  for name in SETS:
    rows = [(s.kind, x) for s, x in zip(sounds, clips) if s.set == name]
    if rows:
      labels, of_set = zip(*rows, strict=True)
      named[name] = by(labels, judge.ranks(of_set, labels))
  return figures(named) | {"signal": signal(sounds, clips)}


def quality(table: dict) -> dict[str, float]:
  """Top 5 of the plain prompts, by kind."""
  rows = table["plain"]["kinds"]
  return {kind: rows[kind]["top 5"] for kind in sorted(rows)}


def show(table: dict) -> None:
  sets = [name for name in SETS if name in table]
  groups = {name: table[name]["groups"] for name in ("real", *sets)}
  for group in sorted(set(itertools.chain(*groups.values()))):
    print(kinds_judge.head(group))
    for name, rows in groups.items():
      if group in rows:
        print(kinds_judge.line(f"  {name}", rows[group]))
  print(kinds_judge.head("all"))
  for name in groups:
    print(kinds_judge.line(f"  {name}", table[name]["all"]))
  for name in sets:
    ratios = table[name]["of real"].values()
    print(
      f"{f'  {name} / real':28}{''.join(f'{100 * x:7.1f}' for x in ratios)}"
    )
  for name, value in table["signal"].items():
    print(f"{name:32}{value:10.4g}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Of the judge, and of `make`."""
  kinds_judge.add_arguments(parser)
  add = parser.add_argument
  add("--model", help="bundle (default: the built-in one)")
  add("--out", type=pathlib.Path, required=True, help="folder of the sounds")
  add("--seed", type=int, default=0)
  add("--candidates", type=int, help="a sound; the bundle's, if none")
  add("--no-expand", action="store_true", help="prompts as they are")
  add("--settings", default="{}", help="of sampling, as JSON")


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  add_arguments(parser)
  add = parser.add_argument
  add("--kinds", type=int, default=150)
  add("--draws", type=int, default=1, help="sounds of a prompt")
  add(
    "--phrasings",
    type=int,
    default=2,
    help="at most so many free ones of a kind",
  )
  add("--prompts", type=pathlib.Path, help="JSON: free ones, by kind")
  add("--quality", type=pathlib.Path, help="writes what export --quality reads")
  add("--swap", action="store_true", help="judge and real clips change folds")
  args = parser.parse_args()
  table = measure(args)
  show(table)
  if args.json:
    args.json.write_text(json.dumps(table, indent=1))
  if args.quality:
    args.quality.write_text(json.dumps(quality(table), indent=1))


if __name__ == "__main__":
  main()
