"""What the training verbs share: config file to trainer."""

import argparse
import pathlib
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """`--config` and `--workdir`; `--config.a.b=v` changes one setting."""
  parser.add_argument(
    "--config",
    required=True,
    metavar="FILE",
    help="config file; --config.a.b=v after it changes one of its settings",
  )
  parser.add_argument(
    "--workdir",
    required=True,
    metavar="DIR",
    help="checkpoints and logs; the same command again continues from there",
  )


def run(args: argparse.Namespace, kind: str) -> None:
  """Trains the experiment of `args`, which must be of this kind."""
  from siren_jax.cli import experiments

  experiment, workdir = read(args, kind)
  build = experiments.KINDS[kind].module().build
  fit(experiment, workdir, *build(experiment, workdir))
  runtime.say(f"done: {workdir} (siren-jax inspect {workdir})")


def read(args: argparse.Namespace, kind: str) -> tuple[Any, pathlib.Path]:
  """The experiment and the work directory; ready to compile.

  Raises:
    UserError: an experiment of another kind, or a directory that is not
      writable.
  """
  from siren_jax.cli import experiments

  experiment = experiments.from_file(args.config, args.overrides)
  found = experiments.kind_of(experiment)
  if found != kind:
    raise UserError(
      f"{args.config} is for `siren-jax {experiments.KINDS[found].verb}`"
    )
  workdir = runtime.check_folder(args.workdir)
  runtime.use_compilation_cache()
  return experiment, workdir


def fit(
  experiment: Any, workdir: pathlib.Path, task, train_data, eval_data
) -> Any:
  """Trains over the experiment's mesh; the state at the end."""
  from siren_jax import training
  from siren_jax.cli import experiments
  from siren_jax.common import mesh

  return training.train(
    task,
    experiment.train,
    mesh.make_mesh(experiment.mesh),
    train_data,
    eval_data,
    workdir,
    experiments.to_json(experiment),
  )
