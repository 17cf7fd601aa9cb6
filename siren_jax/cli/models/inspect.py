"""tell what a config, a work directory, a bundle or a data set holds

siren-jax inspect configs/siren_3_1b.py
siren-jax inspect runs/experts
siren-jax inspect runs/audio
siren-jax inspect nano-stage1 --full
"""

import argparse
import csv
import math
import pathlib
from collections.abc import Iterator
from typing import Any

from siren_jax.common.errors import UserError

_REMEDY = "give a config file, a work directory or a bundle"
_TOLD = ("loss", "reward")  # ends of names of metrics
_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add(
    "target",
    nargs="?",
    help="config file, work directory, data set, bundle folder or name "
    "(default: the model that ships)",
  )
  add("--full", action="store_true", help="every tensor with its shape")


def run(args: argparse.Namespace) -> None:
  from siren_jax.data.sets import store

  if args.target and (pathlib.Path(args.target) / store.INFO).is_file():
    _show_set(args.target)
    return
  for part, tree in _parts(args.target):
    _table(part, tree, args.full)


def _show_set(path: str) -> None:
  """Prints the counts of a prepared set, and a few of its captions."""
  from siren_jax.data.sets import contents

  for line in contents.counts(path):
    print(line)
  print("captions, for example:")
  for line in contents.examples(path):
    print(f"  {line}")


def _parts(target: str | None) -> Iterator[tuple[str, Any]]:
  """Names and parameter trees (or their shapes) of what `target` holds."""
  from siren_jax.common import files
  from siren_jax.experiments import config_files, kinds
  from siren_jax.storage import tensors

  if target and target.endswith(".py"):
    yield from _parts_of(config_files.from_file(target))
    return
  from siren_jax.weights import bundle

  folder = bundle.find(target)
  if (folder / "checkpoints").is_dir():
    values = files.read_json(folder / "config.json", _REMEDY)
    experiment = kinds.from_mapping(values, str(folder))
    print(_progress(folder, experiment.train.steps))
    yield from _parts_of(experiment)
    return
  if not bundle.is_bundle(folder):
    imported = sorted(folder.glob("*.safetensors"))  # of import-weights
    if not imported:
      raise UserError(f"{folder}: no model in it; {_REMEDY}")
    for path in imported:
      yield path.stem, tensors.read(path)
    return
  model = bundle.load(folder)
  print(
    f"{model.name}: {model.codec.config.sample_rate} Hz, up to "
    f"{model.max_seconds:g} s; {model.sampling}"
  )
  yield "codec", model.codec.params
  yield "clap", model.clap.params
  yield "experts", model.params


def _parts_of(experiment: Any) -> Iterator[tuple[str, Any]]:
  from siren_jax.experiments import kinds

  name = kinds.kind_of(experiment)
  kind = kinds.KINDS[name]
  print(f"{kind.subpackage}: {getattr(experiment, kind.subpackage)}")
  if name == "align":  # It makes no parts, but changes those of its start.
    yield from _parts(experiment.data.start)
  else:
    yield kind.subpackage, kind.shapes(experiment)


def _progress(workdir: pathlib.Path, steps: int) -> str:
  """How far the training in `workdir` is, and its newest metrics."""
  folders = (workdir / "checkpoints").iterdir()
  step = max((int(p.name) for p in folders if p.name.isdigit()), default=0)
  line = f"{workdir}: step {step} of {steps}"
  try:
    with (workdir / "metrics.csv").open(newline="") as file:
      latest: dict[str, str] = {}
      for row in csv.DictReader(file):
        latest |= {k: v for k, v in row.items() if k and v}
  except FileNotFoundError:
    return line
  shown = [f"{k} {v}" for k, v in latest.items() if k.endswith(_TOLD)]
  return ", ".join([line, *shown])


def _table(part: str, tree: Any, full: bool) -> None:
  """Prints tensors by their first name (all of them if `full`), and a sum."""
  import flax.traverse_util

  flat = flax.traverse_util.flatten_dict(tree, sep="/")
  counts: dict[str, int] = {}
  print(f"\n{part:36}{'parameters':>16}{'bfloat16':>12}{'float32':>12}")
  for name, leaf in flat.items():
    size = math.prod(leaf.shape)
    if full:
      shape = "x".join(map(str, leaf.shape))
      print(f"  {name:60} {shape}")
    group = "/".join(name.split("/")[: 2 if name.startswith("params/") else 1])
    counts[group] = counts.get(group, 0) + size
  for group, count in (*counts.items(), ("total", sum(counts.values()))):
    print(
      f"  {group:34}{count:>16,}{_bytes(2 * count):>12}{_bytes(4 * count):>12}"
    )


def _bytes(count: int) -> str:
  for size, unit in _UNITS:
    if count >= size:
      return f"{count / size:.1f} {unit}"
  return f"{count} B"
