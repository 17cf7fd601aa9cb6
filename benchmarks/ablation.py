"""Which reward, and which experts: the alignment's ablation in one table.

  python -m benchmarks.ablation --manifest ESC10/manifest.csv \\
    --judge runs/judge --prompts runs/audio --workdir runs/ablation

Aligns Stage 1 once for every row and seed (`siren-jax align
--config=configs/align_nano.py` with the row's settings, for --steps steps;
what is done is not done again), and has the judges of benchmarks.alignment
compare each with Stage 1. Cells: mean over seeds, and the 95 % interval of the
difference to Stage 1 by a bootstrap over seeds and prompts. --plot draws what
the rollouts of each step got.
"""

import argparse
import csv
import pathlib
import subprocess
import sys

import numpy as np

import siren_jax
from benchmarks.alignment import MEASURES, Judges

ROWS = {
  "clap": {"rewards": ("clap",)},
  "deep_likelihood": {"rewards": ("deep_likelihood",)},
  "clap, deep_likelihood": {"rewards": ("clap", "deep_likelihood")},
  "clap, experts 0 and 1": {"rewards": ("clap",), "policy": (0, 1)},
  "clap, all experts": {"rewards": ("clap",), "policy": (0, 1, 2, 3, 4, 5)},
  "contrast": {"rewards": ("contrast",)},
  "as configured": {},
}


def align(settings: dict, seed: int, args, workdir: pathlib.Path) -> str:
  """Runs one cell of the table; the folder of its bundle."""
  bundle = workdir / f"bundle-{args.steps}"
  if "rewards" in settings:
    settings = {"weights": (1.0,) * len(settings["rewards"]), **settings}
  command = [
    *(sys.executable, "-m", "siren_jax", "align"),
    "--config=configs/align_nano.py",
    f"--workdir={workdir}",
    f"--config.data.start={args.model}",
    f"--config.data.path={args.prompts}",
    f"--config.train.steps={args.steps}",
    f"--config.optimizer.steps={args.steps}",
    f"--config.optimizer.learning_rate={args.learning_rate}",
    f"--config.train.eval_every={args.steps}",
    f"--config.train.seed={seed}",
    *(f"--config.alignment.{name}={v}" for name, v in settings.items()),
  ]
  if not bundle.exists():
    subprocess.run(command, check=True, stdout=sys.stderr)
  return str(bundle)


def measure(judges: Judges, model: str, cache: pathlib.Path) -> dict:
  """What the judges say of a model, kept in `cache`."""
  if not cache.exists():
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, **judges.measure(siren_jax.load(model), seed=0))
  return dict(np.load(cache))


def interval(base: np.ndarray, runs: np.ndarray) -> tuple[float, float]:
  """Of the difference of `runs` [seeds, prompts] to `base` [prompts], 95 %."""
  rng = np.random.default_rng(0)
  seeds, prompts = runs.shape
  change = runs - base
  drawn = [
    change[rng.integers(seeds, size=seeds)][
      :, rng.integers(prompts, size=prompts)
    ].mean()
    for _ in range(2000)
  ]
  return tuple(np.percentile(drawn, [2.5, 97.5]))


CURVES = {
  "train/reward_clap": "cosine of prompt and rollout",
  "train/reward_deep_likelihood": "log-prob of deeper codes",
  "train/diversity": "diversity of rollouts",
  "train/kl": "divergence from Stage 1, nats a code",
}


def curves(workdirs: list[pathlib.Path], name: str) -> np.ndarray:
  """A metric of some runs, [runs, steps]; none where it was not rewarded."""
  runs = []
  for workdir in workdirs:
    with (workdir / "metrics.csv").open(newline="") as file:
      rows = [row.get(name) for row in csv.DictReader(file)]
    runs.append([float(value) for value in rows if value])
  return np.array(runs)


def plot(path: pathlib.Path, workdirs: dict[str, list[pathlib.Path]]) -> None:
  """Mean over seeds, and from the lowest to the highest, of five steps."""
  import matplotlib

  matplotlib.use("Agg")
  from matplotlib import pyplot

  figure, axes = pyplot.subplots(1, len(CURVES), figsize=(15, 3.6))
  for axis, (name, title) in zip(axes, CURVES.items(), strict=True):
    for number, (row, folders) in enumerate(workdirs.items()):
      runs = curves(folders, name)
      if not runs.size:
        continue
      smooth = np.ones(5) / 5
      runs = np.array([np.convolve(x, smooth, "valid") for x in runs])
      steps = 3 + np.arange(runs.shape[1])
      color, low, high = f"C{number}", runs.min(0), runs.max(0)
      axis.plot(steps, runs.mean(0), color=color, label=row)
      axis.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
    axis.set(title=title, xlabel="step")
  handles, labels = axes[-1].get_legend_handles_labels()
  figure.legend(handles, labels, loc="lower center", ncols=len(labels))
  figure.tight_layout(rect=(0, 0.08, 1, 1))
  figure.savefig(path, dpi=80)


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  add = parser.add_argument
  add("--manifest", type=pathlib.Path, required=True)
  add("--held-out-fold", default="4")
  add("--model", default="siren-small", help="aligned and compared with")
  add("--judge", required=True, help="a CLAP that did not reward")
  add("--prompts", required=True, help="text file or prepared data set")
  add("--workdir", type=pathlib.Path, required=True)
  add("--steps", type=int, default=40, help="of each run")
  # Few steps, so each is three times as long as in the config.
  add("--learning-rate", type=float, default=1.5e-4)
  add("--seeds", type=int, nargs="*", default=[0, 1, 2])
  add("--rows", nargs="*", choices=ROWS, default=list(ROWS))
  add("--samples", type=int, default=2, help="clips a prompt")
  add("--claims", type=int, default=50)
  add("--plot", type=pathlib.Path, metavar="PNG", help="draw the runs' curves")
  args = parser.parse_args()
  judges = Judges(
    args.manifest, args.held_out_fold, args.judge, args.claims, args.samples
  )
  home = args.workdir.absolute()
  file_name = f"judged-{args.samples}-{args.claims}.npz"
  base = measure(judges, args.model, home / "stage1" / file_name)
  print(f"| rewarded | {' | '.join(MEASURES)} |")
  print("|" + "---|" * (len(MEASURES) + 1))
  means = [f"{base[m].mean():.3f}" for m in MEASURES]
  print(f"| Stage 1 | {' | '.join(means)} |", flush=True)
  workdirs = {
    row: [
      home / f"{row.replace(', ', '-').replace(' ', '_')}-{seed}"
      for seed in args.seeds
    ]
    for row in args.rows
  }
  for row, folders in workdirs.items():
    runs = []
    for seed, workdir in zip(args.seeds, folders, strict=True):
      bundle = align(ROWS[row], seed, args, workdir)
      runs.append(measure(judges, bundle, workdir / file_name))
    cells = []
    for m in MEASURES:
      values = np.stack([run[m] for run in runs])
      low, high = interval(base[m], values)
      cells.append(f"{values.mean():.3f} [{low:+.3f}, {high:+.3f}]")
    print(f"| {row} | {' | '.join(cells)} |", flush=True)
  if args.plot:
    plot(args.plot, workdirs)


if __name__ == "__main__":
  main()
