"""check memory fit and best-case speed on TPUs or GPUs you do not have

  pip install 'siren-jax[train,tpu]'
  siren-jax compile-check --config=configs/siren_1_6b.py --topology=v5e:4x4 \\
    --config.mesh.expert=2

  pip install 'siren-jax[train,cuda13]'
  siren-jax compile-check --config=configs/siren_1_6b.py --topology=h100:1 \\
    --task=sample --batch=1 --config.generate.sampling.top_k=64

Compiles the real step for the given chips on a machine without them, and
reports the compiled program's memory use, memory traffic, FLOPs, best-case
speed and, for a GPU, kernel launches. Exit code 0: it fits; 1: it does not.
"""

import argparse
import os

from siren_jax.cli import runtime
from siren_jax.common.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add(
    "--config",
    required=True,
    metavar="FILE",
    help="Stage 1 config file, or the name of a built-in one;"
    " to override a setting, add --config.a.b=v after it",
  )
  add(
    "--topology",
    required=True,
    metavar="CHIP:AxB",
    help="TPU slice, such as v5e:4x4, v6e:2x4 or v5p:4x4x4; or GPUs in one"
    " machine: a100:1, h100:1, h200:1, b200:8",
  )
  add(
    "--task",
    choices=("train", "sounds", "sample", "align"),
    default="train",
    help="what to compile. train (default): a training step; sounds:"
    " generation of the sounds that training writes at each evaluation; sample:"
    " sampling codes for a batch of prompts; align: an alignment step."
    " train.batch_size is the number of clips (--task=train or --task=sounds),"
    " of generated sounds (--task=sample) or of rollouts (--task=align)",
  )
  add("--dtype", help="same as --config.execution.dtype")
  add("--batch", type=int, help="same as --config.train.batch_size")
  add(
    "--frames",
    type=int,
    default=300,
    help="codec frames in each clip (default: 300, six seconds with DAC)",
  )
  add(
    "--effort",
    type=float,
    default=0.0,
    help="TPU compiler effort; -1 takes a fifth of the time and overestimates"
    " memory traffic (default: 0, as in training)",
  )


def run(args: argparse.Namespace) -> int:
  # The compilers need no device.
  os.environ["JAX_PLATFORMS"] = "cpu"
  os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
  os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
  os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
  from siren_jax.experiments import config_files, kinds
  from siren_jax.scaling import chips, report

  topology = chips.topology(args.topology)
  short = {"execution.dtype": args.dtype, "train.batch_size": args.batch}
  overrides = [
    f"--config.{name}={value}"
    for name, value in short.items()
    if value is not None
  ]
  experiment = config_files.from_file(
    args.config, [*args.overrides, *overrides]
  )
  if kinds.kind_of(experiment) != "stage1":
    raise UserError(f"{args.config} is not a Stage 1 config; give one that is")
  if args.frames < 1 or not -1 <= args.effort <= 1:
    raise UserError(
      f"frames {args.frames}, effort {args.effort}: frames must be at least 1,"
      " effort -1 to 1"
    )
  runtime.print_status(
    f"compiling for {args.topology}, which takes minutes ..."
  )
  try:
    result = report.check(
      args.task, experiment, topology, args.frames, args.effort
    )
  except report.DoesNotFit as error:
    print(f"does not fit: {error}\n{_REMEDIES[args.task]}")
    return 1
  print(f"compiled in {result.seconds:.0f} s\n{report.text(result)}")
  print(
    "it fits" if result.fits else f"it does not fit\n{_REMEDIES[args.task]}"
  )
  return 0 if result.fits else 1


_REMEDIES = {
  "train": """to reduce memory use:
  more microbatches   --config.train.accumulate=4 (activations)
  smaller batch       --config.train.batch_size (activations)
  rematerialisation   --config.execution.remat=True (activations)
  more chips per copy --config.mesh.fsdp=-1 --config.mesh.data=1 (state)""",
  "sample": """to reduce memory use:
  fewer sounds        --config.train.batch_size (caches)
  more chips per copy --config.mesh.expert=6, --config.mesh.model=2""",
}
_REMEDIES["align"] = _REMEDIES["sample"]
_REMEDIES["sounds"] = """to reduce memory use:
  fewer sounds        --config.train.samples, or 0 for none
  more chips per copy --config.mesh.fsdp=-1 --config.mesh.data=1 (state)"""
