import dataclasses
import types

import pytest

from siren_jax.cli.runs import align
from siren_jax.experiments.align import AlignExperiment
from siren_jax.experts import Execution

LOW = Execution(dtype="bfloat16", scan_layers=True)


@pytest.mark.parametrize(
  ("of_config", "of_start", "expected"),
  [
    (Execution(), Execution(), Execution()),
    (Execution(), LOW, LOW),
    (LOW, Execution(), LOW),
    (dataclasses.replace(LOW, remat=True), LOW, None),
  ],
)
def test_experts_run_as_the_config_says_or_else_as_the_start_did(
  of_config, of_start, expected
):
  experiment = AlignExperiment(execution=of_config)
  start = types.SimpleNamespace(execution=of_start)
  assert align._execution(experiment, start) == (expected or of_config)
