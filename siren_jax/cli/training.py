"""What the training verbs share: config file to trainer."""

import argparse
import pathlib
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common.errors import UserError

INTERRUPTED = "the same command goes on from the last checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """`--config`, `--workdir` and `--distributed`.

  `--config.a.b=v` changes one setting.
  """
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
  parser.add_argument(
    "--distributed",
    nargs="?",
    const="auto",
    metavar="HOST:PORT,COUNT,INDEX",
    help="this is one of several processes (launch/); nothing after it on TPU"
    " pods, SLURM and Kubernetes, where JAX finds the others by itself",
  )


def run(args: argparse.Namespace, kind: str) -> None:
  """Trains the experiment of `args`, which must be of this kind."""
  import jax

  from siren_jax.cli import experiments
  from siren_jax.common import mesh as meshes

  experiment, workdir, mesh = read(args, kind)
  build = experiments.KINDS[kind].module().build
  parts = build(experiment, workdir, meshes.share(mesh))
  fit(experiment, workdir, mesh, *parts)
  if jax.process_index() == 0:
    runtime.say(f"done: {workdir} (siren-jax inspect {workdir})")


def read(args: argparse.Namespace, kind: str) -> tuple[Any, pathlib.Path, Any]:
  """The experiment, the work directory and the mesh; ready to compile.

  Raises:
    UserError: an experiment of another kind, a directory that is not
      writable, or a mesh that the devices do not fill.
  """
  from siren_jax.cli import experiments
  from siren_jax.common import mesh as meshes

  experiment = experiments.from_file(args.config, args.overrides)
  found = experiments.kind_of(experiment)
  if found != kind:
    raise UserError(
      f"{args.config} is for `siren-jax {experiments.KINDS[found].verb}`"
    )
  workdir = runtime.check_folder(args.workdir)
  runtime.use_compilation_cache()
  if args.distributed:
    runtime.join(args.distributed)
  return experiment, workdir, meshes.make_mesh(experiment.mesh)


def fit(
  experiment: Any, workdir: pathlib.Path, mesh, task, train_data, eval_data
) -> Any:
  """Trains over the mesh; the state at the end."""
  from siren_jax import training
  from siren_jax.cli import experiments

  return training.train(
    task,
    experiment.train,
    mesh,
    train_data,
    eval_data,
    workdir,
    experiments.to_json(experiment),
  )
