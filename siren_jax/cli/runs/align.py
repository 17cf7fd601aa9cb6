"""align the experts by reinforcement learning (Stage 2)

  siren-jax align --config=configs/align_nano.py --workdir=runs/align \\
    --config.data.path=prompts.txt

Starts from --config.data.start (a bundle, or a work directory of siren-jax
train), or from the default built-in bundle if that setting is empty. When
training finishes, the aligned model is saved as a bundle in the work directory.
"""

import argparse
import dataclasses
import itertools
import pathlib
from typing import Any

from siren_jax.cli import runtime
from siren_jax.cli.models import export
from siren_jax.cli.runs import run_experiment
from siren_jax.common.errors import UserError
from siren_jax.common.text import read_text

INTERRUPTED = run_experiment.INTERRUPTED
EXTRA = run_experiment.EXTRA


def add_arguments(parser: argparse.ArgumentParser) -> None:
  run_experiment.add_arguments(parser)
  add = parser.add_argument
  add(
    "--name",
    help="name of the bundle (default: the starting model's name plus"
    " -aligned)",
  )
  add(
    "--notes",
    metavar="FILE",
    help="Markdown for the model card (default: that of the starting bundle)",
  )


def run(args: argparse.Namespace) -> None:
  notes = read_text(args.notes) if args.notes else None
  with run_experiment.prepared(args, "align") as current:
    _align(args, current, notes)


def _align(
  args: argparse.Namespace, current: run_experiment.Run, notes: str | None
) -> None:
  import jax

  from siren_jax.common import mesh as meshes
  from siren_jax.experiments.align import build
  from siren_jax.weights import model_card

  experiment = current.experiment
  start, its_notes, license = _start(experiment.data.start)
  seconds = experiment.alignment.seconds
  if seconds > start.max_seconds:
    raise UserError(
      f"alignment seconds={seconds}: {start.name} was trained on"
      f" sounds of at most {start.max_seconds} seconds"
    )
  task, *data = build(
    experiment,
    start.models._replace(execution=experiment.execution.of(start.execution)),
    start.all_params,
    start.clap.tokenizer,
    meshes.process_shard(current.mesh),
  )
  state = run_experiment.fit(current, task, *data)
  model = dataclasses.replace(
    start,
    name=args.name or f"{start.name}-aligned",
    params=task.gathered(state),
  )
  if jax.process_index():
    return
  first = out = current.workdir / f"bundle-{int(state.step)}"
  number = itertools.count(2)
  # One of an earlier run in the same folder may have the name.
  while out.exists() and not _is_of(out, model):
    out = first.with_name(f"{first.name}-{next(number)}")
  if out.exists():
    runtime.print_status(f"{out} already exists")
    export.print_next_command(out)
  else:
    section = _rewarded(experiment, start.name, int(state.step))
    notes = notes or its_notes or model_card.NO_NOTES
    export.save(out, model, f"{section}\n{notes}", license)


def _is_of(folder: pathlib.Path, model: Any) -> bool:
  """Whether a bundle has the experts of a model."""
  import jax
  import numpy as np

  from siren_jax.weights import bundle

  def is_same(stored: Any, own: Any) -> bool:
    return np.array_equal(
      np.asarray(stored, np.float16), np.asarray(own, np.float16)
    )

  params = bundle.load(folder).params
  return jax.tree.all(jax.tree.map(is_same, params, model.params))


def _start(source: str) -> tuple[Any, str | None, str | None]:
  """The model to align, its card's notes on data, and its licence."""
  from siren_jax.storage import folders
  from siren_jax.weights import assembly, bundle, model_card

  folder = folders.identify(source or None)
  path = folder.path
  if folder.kind is folders.FolderKind.WORKDIR:
    return assembly.assemble(path, path.name), None, None
  notes, license = model_card.notes(path), model_card.license_of(path)
  return bundle.load(path), notes, license


def _rewarded(experiment: Any, name: str, steps: int) -> str:
  """The model card's section on the alignment."""
  a, data = experiment.alignment, experiment.data
  rewards = ", ".join(
    f"{reward} (weight {weight:g})"
    for reward, weight in zip(a.rewards, a.weights, strict=True)
  )
  sampling = ", ".join(
    f"{k} {v}" for k, v in dataclasses.asdict(a.sampling).items()
  )
  sources = [pathlib.Path(data.path).name] if data.path else []
  sources += [f"{data.synthetic} synthetic sounds"] if data.synthetic else []
  return _SECTION.format(
    name=name,
    policy=", ".join(map(str, a.policy)),
    tuned=", ".join(a.tuned) or "all parameters",
    rewards=rewards,
    steps=steps,
    prompts=experiment.train.batch_size,
    group=a.group_size,
    seconds=a.seconds,
    sampling=sampling,
    kl=a.kl,
    sources=" and ".join(sources),
  )


_SECTION = """## Alignment

Experts {policy} of {name} ({tuned}) were tuned by reinforcement learning \
(docs/alignment.md) for {steps} steps of {prompts} prompts, with {group} \
rollouts of {seconds:g} s per prompt, sampled with {sampling}. \
Prompts: {sources}. Rewards: {rewards}; weight of the KL divergence from the \
starting model: {kl:g}.

The model was optimised for these rewards: evaluate it with other metrics.
"""
