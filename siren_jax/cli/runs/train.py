"""train the residual experts (Stage 1)

  siren-jax train --config=configs/nano.py --workdir=runs/experts \\
    --config.data.path=runs/codes
"""

import argparse

from siren_jax.cli.runs import training
from siren_jax.cli.runs.training import INTERRUPTED, add_arguments

__all__ = ["INTERRUPTED", "add_arguments", "run"]


def run(args: argparse.Namespace) -> None:
  training.run(args, "stage1")
