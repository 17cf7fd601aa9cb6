"""train a CLAP model

  siren-jax train-clap --config=configs/nano_clap.py --workdir=runs/clap \\
    --config.data.path=runs/audio
"""

import functools

from siren_jax.cli.runs import run_experiment

INTERRUPTED = run_experiment.INTERRUPTED
EXTRA = run_experiment.EXTRA
add_arguments = run_experiment.add_arguments
run = functools.partial(run_experiment.run, kind="clap")
