"""Does the evaluation tell good from bad, and how long does it take?

  python -m benchmarks.evaluation --manifest ESC10/manifest.csv \\
    --workdir runs/evaluation

Recordings of all categories alike, each with a plain prompt, against clips of
the same names: what the model makes of the prompts, other recordings of the
same category, the same recordings in another order, and white noise as loud as
the recordings. Then the Frechet distance of 2048 values alone.
"""

import argparse
import csv
import json
import pathlib
import time

import numpy as np

from benchmarks.quality import PLAIN, RATE
from siren_jax.audio.sound_files import read_audio, write_audio
from siren_jax.cli.main import main as siren_jax
from siren_jax.evaluation import frechet

KEYS = ("fad", "fad_inf", "fd", "is", "kl", "clap")


def table(manifest: pathlib.Path, count: int, out: pathlib.Path):
  """Writes reference.csv; paths of its recordings and of their likes."""
  with manifest.open(newline="") as file:
    rows = list(csv.DictReader(file))
  each = count // len(PLAIN)
  chosen, others = [], []
  for category in PLAIN:
    paths = [r["file"] for r in rows if r["category"] == category]
    chosen += [(category, manifest.parent / path) for path in paths[:each]]
    others += [manifest.parent / path for path in np.roll(paths, -each)[:each]]
  with (out / "reference.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(("path", "caption"))
    writer.writerows((path.absolute(), PLAIN[name]) for name, path in chosen)
  return [path for _, path in chosen], others


def write(folder: pathlib.Path, paths, clips) -> None:
  """Clips under the names of the recordings, with their captions."""
  captions = dict(csv.reader((folder.parent / "reference.csv").open()))
  for path, clip in zip(paths, clips):
    write_audio(folder / f"{path.stem}.wav", clip, RATE)
    caption = json.dumps({"prompt": captions[str(path.absolute())]})
    (folder / f"{path.stem}.json").write_text(caption)


def noise(path: pathlib.Path, rng: np.random.Generator) -> np.ndarray:
  """White noise, as long and as loud as a recording."""
  audio_S = read_audio(path, RATE)[0]
  level = np.sqrt(np.mean(audio_S**2))
  return np.clip(level * rng.normal(size=audio_S.size), -1, 1).astype("f4")


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  add = parser.add_argument
  add("--manifest", type=pathlib.Path, required=True)
  add("--workdir", type=pathlib.Path, required=True)
  add("--clips", type=int, default=200)
  add("--model", default="siren-small")
  args = parser.parse_args()
  home = args.workdir
  home.mkdir(parents=True, exist_ok=True)
  paths, others = table(args.manifest, args.clips, home)
  rng = np.random.default_rng(0)
  order = rng.permutation(len(paths))
  generated = {
    "noise": lambda: (noise(path, rng) for path in paths),
    "others": lambda: (read_audio(path, RATE)[0] for path in others),
    "shuffled": lambda: (read_audio(paths[i], RATE)[0] for i in order),
  }
  for name, clips in generated.items():
    if not (home / name).exists():
      write(home / name, paths, clips())
  reference = str(home / "reference.csv")
  lines = []
  for name in (args.model, *generated):
    command = ["evaluate", "--generated", str(home / name)]
    command += ["--reference", reference, "--model", args.model]
    if name == args.model and not (home / name).exists():
      command += ["--prompts", reference]
    command += ["--json", str(home / f"{name}.json")]
    start = time.perf_counter()
    if siren_jax(command):
      raise SystemExit(f"{name}: evaluation failed")
    seconds = time.perf_counter() - start
    figures = json.loads((home / f"{name}.json").read_text())
    cells = " | ".join(f"{figures[key]:.3f}" for key in KEYS)
    lines.append(f"| {name} | {cells} | {seconds:.0f} |")
  print(f"| {len(paths)} clips | {' | '.join(KEYS)} | seconds |")
  print("|---" * (len(KEYS) + 2) + "|")
  print("\n".join(lines))
  a, b = rng.normal(size=(2, 1000, 2048))
  start = time.perf_counter()
  frechet.frechet_distance(a, b)
  print(f"Frechet, 1000 x 2048: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
  main()
