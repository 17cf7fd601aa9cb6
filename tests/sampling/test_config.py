"""Settings of `generate`: numbers that mean something, as float32 too."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts, sampling
from siren_jax.common.errors import UserError
from siren_jax.sampling import GenerateConfig, SamplingConfig, check_candidates


@pytest.mark.parametrize(
  ("name", "value"),
  [
    (name, value)
    for name in ("temperature", "top_k", "top_p", "guidance")
    for value in (math.nan, math.inf, -1, 1e39, True, "1", np.float32("nan"))
  ]
  + [
    ("temperature", 0),
    ("temperature", 1e-39),
    ("temperature", 1e7),
    ("top_k", 0),
    ("top_k", 2.0),
    ("top_k", 2**31),
    ("top_p", 0),
    ("top_p", 1e-39),
    ("top_p", 1.1),
    ("guidance", 1e4),
    ("temperature", np.zeros(())),
    ("temperature", jnp.zeros(())),
  ],
)
def test_a_number_out_of_its_range_is_named(name, value):
  with pytest.raises(UserError, match=re.escape(f"{name} {value}: must be a ")):
    SamplingConfig(**{name: value})


def test_traced_and_whole_numbers_are_taken():
  config = SamplingConfig(1, np.int32(3), np.float32(0.5), 0)
  same = jax.jit(lambda config: config.temperature * config.guidance)(config)
  assert same == 0
  assert SamplingConfig(jnp.ones(())).temperature == 1
  assert type(check_candidates(np.int64(4))) is int


@pytest.mark.parametrize(
  "values",
  [
    {"candidates": 0},
    {"candidates": 65},
    {"candidates": 2.0},
    {"candidates": True},
    {"max_seconds": 0.0},
    {"max_seconds": math.nan},
    {"max_seconds": 3600.1},
  ],
)
def test_what_generate_cannot_do_is_named(values):
  ((name, value),) = values.items()
  with pytest.raises(UserError, match=f"{name} {value}: "):
    GenerateConfig(**values)


@pytest.mark.parametrize(
  "name", ["GenerateConfig", "SamplingConfig", "check_candidates"]
)
def test_names_of_before_are_still_importable(name):
  with pytest.warns(DeprecationWarning, match=f"siren_jax.sampling.{name}"):
    assert getattr(experts, name) is getattr(sampling, name)
