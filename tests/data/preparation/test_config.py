import pytest

from siren_jax.common.errors import UserError
from siren_jax.data.preparation.config import AudioConfig


@pytest.mark.parametrize(
  "setting",
  [
    {"seconds": 0},
    {"seconds": 1e-9},
    {"seconds": 1e9},
    {"seconds": float("nan")},
    {"seconds": float("inf")},
    {"sample_rate": -1},
    {"sample_rate": 10**9},
    {"synthetic": -1},
    {"captions": 0},
    {"max_seconds": 0},
    {"seed": -1},
    {"seed": 2**32},
    {"seconds": 1.5, "sequences": 1},
    {"seconds": 0.5, "synthetic": 1},
    {"sample_rate": 4000, "synthetic": 1},
  ],
)
def test_impossible_settings_are_named(setting):
  with pytest.raises(UserError, match=next(iter(setting)).replace("_", ".")):
    AudioConfig(**setting)
