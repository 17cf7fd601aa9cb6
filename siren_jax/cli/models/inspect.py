"""show the contents of a config, work directory, bundle or data set

siren-jax inspect siren_3_1b
siren-jax inspect runs/experts
siren-jax inspect runs/audio
siren-jax inspect siren-small --full
"""

import argparse
import csv
import math
import pathlib
from collections.abc import Iterator
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common import paths
from siren_jax.common.errors import UserError

_REMEDY = "give a config file, a work directory or a bundle"
_SHOWN = ("loss", "reward")  # ends of names of metrics
_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add(
    "target",
    nargs="?",
    help="config file or the name of a built-in one, work directory, data"
    " set, bundle, or the name of a built-in bundle (default: the built-in"
    " model)",
  )
  add("--full", action="store_true", help="list every tensor with its shape")


def run(args: argparse.Namespace) -> None:
  from siren_jax.experiments import config_files
  from siren_jax.storage import folders

  target = args.target or None
  # A folder takes precedence over a built-in config of the same name.
  named = target in config_files.shipped() and not paths.local(target).is_dir()
  if target and (named or target.endswith(".py")):
    trees = _of_experiment(config_files.from_file(target))
  else:
    trees = _of_folder(folders.identify(target))
  for component, tree in trees:
    _table(component, tree, args.full)


def _of_folder(folder: Any) -> Iterator[tuple[str, Any]]:
  """Prints what a `Folder` is; names and parameter trees of its components."""
  from siren_jax.storage.folders import FolderKind

  if folder.kind in (FolderKind.AUDIO_SET, FolderKind.CODE_SET):
    _show_set(folder.path)
  elif folder.kind is FolderKind.WORKDIR:
    yield from _of_workdir(folder)
  elif folder.kind is FolderKind.BUNDLE:
    yield from _of_bundle(folder)
  else:
    yield from _of_files(folder)


def _show_set(path: pathlib.Path) -> None:
  """Prints the counts of a prepared set, and a few of its captions."""
  from siren_jax.data.sets import contents

  for line in contents.counts(path):
    print(line)
  runtime.print_examples(path)


def _of_workdir(folder: Any) -> Iterator[tuple[str, Any]]:
  from siren_jax.experiments import kinds

  experiment = kinds.from_mapping(folder.settings, str(folder.path))
  print(_progress(folder.path, experiment.train.steps))
  yield from _of_experiment(experiment)


def _of_bundle(folder: Any) -> Iterator[tuple[str, Any]]:
  from siren_jax.weights import bundle

  model = bundle.load(folder.path)
  print(
    f"{model.name}: {model.codec.config.sample_rate} Hz, windows of "
    f"{model.max_seconds:g} s; {model.sampling}"
  )
  yield "codec", model.codec.params
  yield "clap", model.clap.params
  yield "experts", model.params


def _of_files(folder: Any) -> Iterator[tuple[str, Any]]:
  """Names and tensors of weights from import-weights or third parties."""
  from siren_jax.storage import tensors

  paths = sorted(folder.path.glob("*.safetensors"))
  if not paths:
    raise UserError(f"{folder.path}: no model in it; {_REMEDY}")
  for path in paths:
    yield path.stem, tensors.read(path)


def _of_experiment(experiment: Any) -> Iterator[tuple[str, Any]]:
  from siren_jax.experiments import kinds
  from siren_jax.storage import folders

  name = kinds.kind_of(experiment)
  kind = kinds.KINDS[name]
  print(f"{kind.subpackage}: {getattr(experiment, kind.subpackage)}")
  if hasattr(experiment, "execution"):
    print(f"execution: {experiment.execution}")
  if name == "align":  # has no components, but changes those of its start
    yield from _of_folder(folders.identify(experiment.data.start or None))
  else:
    yield kind.subpackage, kind.shapes(experiment)


def _progress(workdir: pathlib.Path, num_steps: int) -> str:
  """Progress of the training in `workdir`, and its latest metrics."""
  from siren_jax.storage import folders

  step = max(folders.steps(workdir), default=0)
  line = f"{workdir}: step {step} of {num_steps}"
  try:
    with (workdir / "metrics.csv").open(newline="") as file:
      latest: dict[str, str] = {}
      for row in csv.DictReader(file):
        latest |= {k: v for k, v in row.items() if k and v}
  except FileNotFoundError:
    return line
  shown = [f"{k} {v}" for k, v in latest.items() if k.endswith(_SHOWN)]
  return ", ".join([line, *shown])


def _table(component: str, tree: Any, full: bool) -> None:
  """Prints tensors by first name (all of them if `full`), and their total."""
  import flax.traverse_util

  flat = flax.traverse_util.flatten_dict(tree, sep="/")
  counts: dict[str, int] = {}
  print(f"\n{component:36}{'parameters':>16}{'bfloat16':>12}{'float32':>12}")
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
