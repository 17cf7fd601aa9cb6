"""train a codec

  siren-jax train-codec --config=configs/nano_codec.py --workdir=runs/codec \\
    --config.data.path=runs/audio
"""

import argparse

from siren_jax.cli.runs import training
from siren_jax.cli.runs.training import INTERRUPTED, add_arguments

__all__ = ["INTERRUPTED", "add_arguments", "run"]


def run(args: argparse.Namespace) -> None:
  training.run(args, "codec")
