import pytest

from siren_jax.common.errors import UserError
from siren_jax.experts.execution import Execution, ExecutionChanges

LOW = Execution(dtype="bfloat16", scan_layers=True)


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({}, LOW),
    (
      {"remat": True},
      Execution(dtype="bfloat16", scan_layers=True, remat=True),
    ),
    ({"dtype": "float32"}, Execution(dtype="float32", scan_layers=True)),
    ({"scan_layers": False}, Execution(dtype="bfloat16")),
  ],
)
def test_what_is_not_set_stays_as_it_is(changes, expected):
  assert ExecutionChanges(**changes).of(LOW) == expected


@pytest.mark.parametrize(
  "changes", [{"dtype": "float16"}, {"expert_loop": "scan"}]
)
def test_changes_are_checked_before_there_is_what_they_change(changes):
  with pytest.raises(UserError, match="; use "):
    ExecutionChanges(**changes)


def test_eight_bits_are_for_sampling():
  execution = Execution(dtype="int8")
  assert execution.activations == "bfloat16"
  with pytest.raises(UserError, match="for sampling"):
    execution.check_trains()
  for dtype in ("float32", "bfloat16"):
    Execution(dtype=dtype).check_trains()
