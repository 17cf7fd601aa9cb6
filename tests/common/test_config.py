"""Settings out of files: of the right type, and numbers of 32 bits."""

import dataclasses
import math
import re

import pytest

from siren_jax.common import config
from siren_jax.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Inner:
  rate: float = 1.0
  share: float | None = None
  span: tuple[float, float] = (0.0, 1.0)
  sizes: tuple[int, ...] = (1,)
  count: int = 1
  path: str = ""


@dataclasses.dataclass(frozen=True)
class Outer:
  inner: Inner = Inner()
  other: Inner | None = None


@pytest.mark.parametrize("name", ["rate", "share"])
@pytest.mark.parametrize(
  "value", [math.nan, math.inf, -math.inf, 1e39, -1e39, 1e-39]
)
def test_a_float_that_float32_does_not_hold_is_named(name, value):
  with pytest.raises(UserError, match=re.escape(f"{name}={value!r}:")):
    config.from_dict(Outer, {"inner": {name: value}})


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("span", [0.0, math.nan]),
    ("span", [0.0]),
    ("span", [0.0, 1.0, 2.0]),
    ("sizes", [2**40]),
    ("count", 2**32),
    ("count", -(2**31) - 1),
    ("count", True),
    ("count", 1.0),
    ("rate", "fast"),
    ("rate", True),
    ("path", 3),
  ],
)
def test_a_value_that_is_not_of_its_type_is_named(name, value):
  with pytest.raises(UserError, match=rf"config inner\.{name}="):
    config.from_dict(Outer, {"inner": {name: value}})


@pytest.mark.parametrize("values", [3, [1], None, "x"])
def test_a_group_must_be_one(values):
  with pytest.raises(UserError, match="inner.*group of settings"):
    config.from_dict(Outer, {"inner": values})


def test_a_group_may_be_none():
  for other, values in ((None, None), (Inner(count=3), {"count": 3})):
    assert config.from_dict(Outer, {"other": values}).other == other
  with pytest.raises(UserError, match="config other='x': expected a group"):
    config.from_dict(Outer, {"other": "x"})


@pytest.mark.parametrize("value", [0.0, -0.5, 3.4e38, 1.2e-38, 7])
def test_what_float32_holds_is_taken(value):
  inner = config.from_dict(Outer, {"inner": {"rate": value}}).inner
  assert inner.rate == value and type(inner.rate) is float


@pytest.mark.parametrize("sizes", [(0,), (3, -1), (10**9,)])
def test_sizes_that_no_model_has_are_named(sizes):
  with pytest.raises(UserError, match="part sizes=.*at least 1 and at most 50"):
    config.check_sizes("part", Inner(sizes=sizes), sizes=50)
