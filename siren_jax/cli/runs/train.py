"""train the residual experts (Stage 1)

  siren-jax train --config=configs/nano.py --workdir=runs/experts \\
    --config.data.path=runs/codes
"""

import functools

from siren_jax.cli.runs import run_experiment

INTERRUPTED = run_experiment.INTERRUPTED
EXTRA = run_experiment.EXTRA
add_arguments = run_experiment.add_arguments
run = functools.partial(run_experiment.run, kind="stage1")
