"""train a codec

  siren-jax train-codec --config=configs/nano_codec.py --workdir=runs/codec \\
    --config.data.path=runs/audio
"""

import functools

from siren_jax.cli.runs import run_experiment

INTERRUPTED = run_experiment.INTERRUPTED
EXTRA = run_experiment.EXTRA
add_arguments = run_experiment.add_arguments
run = functools.partial(run_experiment.run, kind="codec")
