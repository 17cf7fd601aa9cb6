"""Floating-point operations of a program, from its shapes.

XLA's cost analysis counts the body of a loop once; a jaxpr says how often a
scan runs. Only matrix products and convolutions count, as is usual.
"""

import math
from typing import Any

import jax
from jax.extend import core


def count(function: Any, *args: Any) -> int:
  """Operations of `function(*args)`, on all devices together.

  A multiply-add counts as two; rematerialised operations count again. A `while`
  loop of unknown length counts once; branches of a condition are assumed to run
  equally often.

  Args:
    function: a traceable function. args: arrays, or shapes and types.
  """
  return _of_jaxpr(jax.make_jaxpr(function)(*args).jaxpr)


def _of_jaxpr(jaxpr: Any) -> int:
  return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> int:
  match equation.primitive.name:
    case "dot_general":
      return _of_dot(equation)
    case "conv_general_dilated":
      return _of_convolution(equation)
    case "cond":
      branches = [_of_jaxpr(b.jaxpr) for b in equation.params["branches"]]
      return round(sum(branches) / len(branches))
  inside = sum(
    _of_jaxpr(j) for value in equation.params.values() for j in _jaxprs(value)
  )
  return inside * equation.params.get("length", 1)


def _jaxprs(value: Any) -> list[Any]:
  if isinstance(value, core.ClosedJaxpr):
    return [value.jaxpr]
  return [value] if isinstance(value, core.Jaxpr) else []


def _of_dot(equation: Any) -> int:
  (contracted, _), _ = equation.params["dimension_numbers"]
  shape = equation.invars[0].aval.shape
  depth = math.prod(shape[axis] for axis in contracted)
  return 2 * equation.outvars[0].aval.size * depth


def _of_convolution(equation: Any) -> int:
  kernel = equation.invars[1].aval
  numbers = equation.params["dimension_numbers"]
  out_channels = kernel.shape[numbers.rhs_spec[0]]
  return 2 * equation.outvars[0].aval.size * kernel.size // out_channels
