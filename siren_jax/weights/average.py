"""Averages of models that were fine-tuned from the same start."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.clap import Clap
from siren_jax.codec import Codec
from siren_jax.common.errors import UserError
from siren_jax.weights.bundle import Bundle


def average(
  start: Bundle, tuned: Sequence[Bundle], share: float = 1.0
) -> tuple[Bundle, float]:
  """`start` plus `share` times the mean weight change of `tuned`.

  As in WARP (Ramé et al. 2024), which averages along arcs instead of straight
  lines. A share below 1 interpolates towards the start, one above 1
  extrapolates.

  Args:
    start: the common start of `tuned`.
    tuned: at least one.
    share: of the mean weight change from `start`.

  Returns:
    The first of `tuned` with the averaged experts; and their agreement: the
    mean cosine of the weight changes of any two, 1 for a single model.

  Raises:
    UserError: some have other components or another config than `start`, or its
      experts; or the share is not above 0.
  """
  if not 0 < share < math.inf:
    raise UserError(f"share {share:g}: must be above 0; 1 is the mean")
  ways = [_way(start, model) for model in tuned]
  mean = jax.tree.map(lambda *x: sum(x) / len(x), *ways)
  old = start.params["params"]
  new = jax.tree.map(lambda x, way: x + share * way, old, mean)
  params = dict(start.params, params=new)
  return dataclasses.replace(tuned[0], params=params), _agreement(ways)


def _way(start: Bundle, model: Bundle) -> Any:
  """Weight change from `start` to `model`."""
  _check_same(start, model)
  way = jax.tree.map(
    lambda a, b: a - b, model.params["params"], start.params["params"]
  )
  if not any(jnp.any(x) for x in jax.tree.leaves(way)):
    raise UserError(
      f"{model.name} has the same experts as {start.name}; give models tuned"
      " from it"
    )
  return way


def _agreement(ways: Sequence[Any]) -> float:
  """Mean cosine of any two."""
  flat = [
    jnp.concatenate([x.ravel() for x in jax.tree.leaves(way)]) for way in ways
  ]
  units, count = [x / jnp.linalg.norm(x) for x in flat], len(flat)
  if count == 1:
    return 1.0
  total = jnp.sum(sum(units) ** 2)
  return float((total - count) / (count * (count - 1)))


def _check_same(start: Bundle, model: Bundle) -> None:
  """Checks that `model` was tuned from `start`."""
  models: dict[str, tuple[Any, Any]] = {
    "experts": (start, model),
    "codec": (start.codec, model.codec),
    "CLAP": (start.clap, model.clap),
  }
  for component, (ours, theirs) in models.items():
    tuned = component == "experts"
    if ours.config != theirs.config or not (tuned or _equal(ours, theirs)):
      raise UserError(
        f"{model.name} was not tuned from {start.name}: its {component}"
        " differs; give models tuned from the same start"
      )


def _equal(one: Codec | Clap, other: Codec | Clap) -> bool:
  same = jax.tree.map(np.array_equal, one.params, other.params)
  return all(jax.tree.leaves(same))
