"""Which reward, and which experts: the alignment's ablation in one table.

  python -m benchmarks.ablation --manifest ESC10/manifest.csv \\
    --judge runs/judge --prompts runs/audio --workdir runs/ablation

Aligns the bundle that ships once for every row and seed (`siren-jax align
--config=configs/align_nano.py` with the row's settings; runs that are done are
not done again), and has the judges of benchmarks.alignment compare each with
Stage 1. Cells are means over seeds, with the deviation between them.
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np

import siren_jax
from benchmarks.alignment import MEASURES, Judges

BASE = "nano-stage1"
ROWS = {
  "clap": {"rewards": ("clap",)},
  "contrast": {"rewards": ("contrast",)},
  "deep_likelihood": {"rewards": ("deep_likelihood",)},
  "clap, deep_likelihood": {"rewards": ("clap", "deep_likelihood")},
  "contrast, novelty": {"rewards": ("contrast", "novelty")},
  "clap, expert 0": {"rewards": ("clap",), "policy": (0,)},
  "clap, all experts": {"rewards": ("clap",), "policy": (0, 1, 2, 3, 4, 5)},
}


def align(settings: dict, seed: int, args, workdir: pathlib.Path) -> str:
  """Runs one cell of the table; the folder of its bundle."""
  settings = {"weights": (1.0,) * len(settings["rewards"]), **settings}
  command = [
    *(sys.executable, "-m", "siren_jax", "align"),
    "--config=configs/align_nano.py",
    f"--workdir={workdir}",
    f"--config.data.start={BASE}",
    f"--config.data.path={args.prompts}",
    f"--config.train.steps={args.steps}",
    f"--config.train.seed={seed}",
    *(f"--config.alignment.{name}={v}" for name, v in settings.items()),
  ]
  subprocess.run(command, check=True)
  return str(workdir / f"bundle-{args.steps}")


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  add = parser.add_argument
  add("--manifest", type=pathlib.Path, required=True)
  add("--held-out-fold", default="4")
  add("--judge", required=True, help="a CLAP that did not reward")
  add("--prompts", required=True, help="text file or prepared data set")
  add("--workdir", type=pathlib.Path, required=True)
  add("--steps", type=int, default=60, help="of each run")
  add("--seeds", type=int, nargs="*", default=[0, 1, 2])
  add("--rows", nargs="*", choices=ROWS, default=list(ROWS))
  add("--samples", type=int, default=2, help="clips a prompt")
  args = parser.parse_args()
  judges = Judges(
    args.manifest, args.held_out_fold, args.judge, 50, args.samples
  )
  found = {BASE: [judges.measure(siren_jax.load(BASE), seed=0)]}
  for row in args.rows:
    found[row] = []
    for seed in args.seeds:
      workdir = args.workdir / f"{row.replace(', ', '-')}-{seed}"
      bundle = align(ROWS[row], seed, args, workdir.absolute())
      found[row].append(judges.measure(siren_jax.load(bundle), seed=0))
  print(f"| rewarded | {' | '.join(MEASURES)} |")
  print("|" + "---|" * (len(MEASURES) + 1))
  for row, runs in found.items():
    means = np.array([[run[m].mean() for m in MEASURES] for run in runs])
    cells = zip(means.mean(0), means.std(0), strict=True)
    print(
      f"| {row} | " + " | ".join(f"{m:.3f} ± {s:.3f}" for m, s in cells), "|"
    )


if __name__ == "__main__":
  main()
