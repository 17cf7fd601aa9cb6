"""From a config file to the trainer: shared by the training commands."""

import argparse
import contextlib
import dataclasses
import pathlib
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.storage import run_config

EXTRA = "train"
INTERRUPTED = "the same command resumes from the last checkpoint"
_NEXT = {
  "codec": "siren-jax train-clap --config=nano_clap"
  " --config.data.path={data} --workdir=runs/clap",
  "clap": "siren-jax prepare-data {data} --codec runs/codec --clap {folder}"
  " --out runs/codes",
  "stage1": "siren-jax export --experts {folder} --out mine",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """`--config`, `--workdir` and `--distributed`.

  `--config.a.b=v` changes one setting.
  """
  parser.add_argument(
    "--config",
    required=True,
    metavar="FILE",
    help="config file, or the name of a built-in one;"
    " to override a setting, add --config.a.b=v after it",
  )
  parser.add_argument(
    "--workdir",
    required=True,
    metavar="DIR",
    help="folder for checkpoints and logs; rerun the command to resume",
  )
  parser.add_argument(
    "--distributed",
    nargs="?",
    const="auto",
    metavar="HOST:PORT,COUNT,INDEX",
    help="run as one of several processes (see launch/); omit the value on TPU"
    " pods, SLURM and Kubernetes, where JAX finds the other processes itself",
  )


def run(args: argparse.Namespace, kind: str) -> None:
  """Trains the experiment of `args`, which must be of this kind."""
  import jax

  from siren_jax.common import mesh as meshes
  from siren_jax.experiments import kinds

  with prepared(args, kind) as current:
    build = kinds.KINDS[kind].module().build
    parts = build(
      current.experiment, current.workdir, meshes.process_shard(current.mesh)
    )
    fit(current, *parts)
  if jax.process_index() == 0:
    folder = current.workdir
    runtime.print_status(f"done: {folder} (siren-jax inspect {folder})")
    print(f"try next: {_next_command(kind, current)}")


def _next_command(kind: str, run: "Run") -> str:
  """The command to run after this training."""
  data = shlex.quote(run.experiment.data.path or "runs/audio")
  return _NEXT[kind].format(data=data, folder=shlex.quote(str(run.workdir)))


@dataclasses.dataclass(frozen=True)
class Run:
  """An experiment, its work directory and mesh.

  Attributes:
    config: as saved in the work directory: the experiment, and fingerprints of
      its inputs.
  """

  experiment: Any
  workdir: pathlib.Path
  mesh: Any
  config: dict[str, Any]


@contextlib.contextmanager
def prepared(args: argparse.Namespace, kind: str) -> Iterator[Run]:
  """A run that is ready to compile; locks its work directory in the block.

  Raises:
    UserError: the experiment is of another kind, the directory is not writable
      or in use, the mesh does not fit the devices, or the directory has another
      experiment.
  """
  import jax

  from siren_jax.experiments import config_files, kinds
  from siren_jax.storage.lock import exclusive

  experiment = config_files.from_file(args.config, args.overrides)
  config_kind = kinds.kind_of(experiment)
  if config_kind != kind:
    raise UserError(
      f"{args.config} is for `siren-jax {kinds.KINDS[config_kind].verb}`"
    )
  workdir = runtime.check_folder(args.workdir)
  from siren_jax.common import compilation

  compilation.use_cache()
  if args.distributed:
    runtime.join(args.distributed)
  with contextlib.ExitStack() as stack:
    with _agreed():
      if jax.process_index() == 0:
        stack.enter_context(exclusive(workdir / ".lock", str(workdir)))
      current = _checked(experiment, kind, workdir)
    yield current


@contextlib.contextmanager
def _agreed() -> Iterator[None]:
  """All processes pass the block or none does, lest the others hang.

  Raises:
    UserError: the block succeeded here, but failed in another process.
  """
  import jax
  from jax.experimental import multihost_utils

  failure = None
  try:
    yield
  except Exception as error:
    failure = error
  if jax.process_count() > 1:
    failures = list(multihost_utils.process_allgather(failure is not None))
    if any(failures) and not failure:
      raise UserError(
        f"process {failures.index(True)} of {len(failures)} cannot start; see"
        " its output"
      )
  if failure:
    raise failure


def _checked(experiment: Any, kind: str, workdir: pathlib.Path) -> Run:
  """The run, checked against `workdir`."""
  from siren_jax.common import mesh as meshes
  from siren_jax.experiments import kinds
  from siren_jax.storage import folders

  resumed = bool(folders.steps(workdir))
  experiment = _scheduled(experiment, workdir, resumed)
  inputs = _fingerprints(experiment, kind)
  if resumed and not experiment.reads_start:
    inputs |= _started_from(experiment, workdir)
  config = kinds.to_json(experiment) | {run_config.INPUTS: inputs}
  if resumed:
    run_config.check(workdir, config)
  mesh = meshes.make_mesh(experiment.mesh)
  return Run(experiment, workdir, mesh, config)


def _scheduled(experiment: Any, workdir: pathlib.Path, resumed: bool) -> Any:
  """The experiment with the steps of its schedule; a resumed run keeps them.

  Process 0 reports schedules that differ from the config or the training.
  """
  import jax

  optimizer = given = experiment.optimizer
  if resumed:
    recorded_config = run_config.recorded(workdir).get("optimizer", {})
    optimizer = optimizer.with_steps(recorded_config.get("steps", 0))
  experiment = dataclasses.replace(experiment, optimizer=optimizer)
  schedule = experiment.schedule
  natural = dataclasses.replace(optimizer, steps=0)
  whole = dataclasses.replace(experiment, optimizer=natural).schedule.steps
  if schedule.steps != whole and jax.process_index() == 0:
    runtime.print_status(
      f"the learning-rate schedule has {schedule.steps} updates"
      f" (optimizer.steps), but training runs {whole} (train.steps)"
    )
  if schedule.warmup_steps != given.warmup_steps and jax.process_index() == 0:
    runtime.print_status(
      f"warm-up of {schedule.warmup_steps} updates instead of"
      f" {given.warmup_steps} (optimizer.warmup_steps): the schedule has"
      f" {schedule.steps}"
    )
  return dataclasses.replace(experiment, optimizer=schedule)


def _fingerprints(experiment: Any, kind: str) -> dict[str, str]:
  """Fingerprints of all inputs that its data settings name."""
  from siren_jax.data.sets import index
  from siren_jax.storage import folders

  values = {}
  for name in ("path", "validation"):
    if path := getattr(experiment.data, name, ""):
      values[f"data.{name}"] = index.fingerprint(path)
  for name in ("start", "codec"):
    model = getattr(experiment.data, name, "")
    if model or (kind == "align" and name == "start"):
      values[f"data.{name}"] = index.fingerprint(folders.find(model or None))
  return values


def _started_from(experiment: Any, workdir: pathlib.Path) -> dict[str, str]:
  """The recorded fingerprint of the start of a run that has gone beyond it.

  The start is a work directory at the same path, which may have trained on.
  """
  from siren_jax.storage.folders import FolderKind, identify

  recorded_config = run_config.recorded(workdir)
  fingerprint = recorded_config.get(run_config.INPUTS, {}).get("data.start")
  start = getattr(experiment.data, "start", "")
  if (
    fingerprint
    and start == recorded_config["data"]["start"]
    and identify(start).kind is FolderKind.WORKDIR
  ):
    return {"data.start": fingerprint}
  return {}


def fit(
  run: Run, task: Any, train_data: Any, eval_data: Callable[[], Any]
) -> Any:
  """Trains over the mesh; the state at the end."""
  from siren_jax import training

  def unchanged_eval_data() -> Any:
    _check_unchanged(run)
    return eval_data()

  return training.train(
    task,
    run.experiment.train,
    run.mesh,
    train_data,
    unchanged_eval_data,
    run.workdir,
    run.config,
  )


def _check_unchanged(run: Run) -> None:
  """Refuses to evaluate on a data set that has taken the place of the run's."""
  from siren_jax.data.sets import index
  from siren_jax.storage import folders

  for name in ("path", "validation"):
    path = getattr(run.experiment.data, name, "")
    recorded = run.config[run_config.INPUTS].get(f"data.{name}")
    if not (path and (paths.local(path) / folders.DATASET_INFO).exists()):
      continue
    if index.fingerprint(path) != recorded:
      raise UserError(
        f"data.{name}={path}: another data set took its place during the run;"
        " put the first one back, and run the same command again"
      )
