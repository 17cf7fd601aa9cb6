"""Speeds of memory and of products; seconds of compilations and of runs."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


def copy_speed(elements: int) -> float:
  """Bytes a second, those read and those written, of a large copy."""
  x = jax.random.normal(jax.random.key(0), (elements // 2,), jnp.bfloat16)
  copy = jax.jit(jnp.negative)  # A mere copy might be left out.
  return 2 * x.nbytes / _rate(copy, x)


def read_speed(elements: int) -> float:
  """Bytes a second of a large sum."""
  x = jax.random.normal(jax.random.key(0), (elements,), jnp.bfloat16)
  total = jax.jit(lambda x: jnp.sum(x, dtype=jnp.float32))
  return x.nbytes / _rate(total, x)


def matmul_speed(width: int) -> float:
  """Operations a second of a large square product in bfloat16."""
  shape = (width, width)
  x, y = (
    jax.random.normal(jax.random.key(i), shape, jnp.bfloat16) for i in (0, 1)
  )
  return 2 * width**3 / _rate(jax.jit(jnp.matmul), x, y)


def _rate(function: Callable, *args, calls: int = 10) -> float:
  """Seconds of a call among several queued ones: the start is hidden."""
  return median(lambda: [function(*args) for _ in range(calls)], 5) / calls


def median(run: Callable[[], Any], repeats: int) -> float:
  """Seconds, after a run that is not counted."""
  jax.block_until_ready(run())
  times = []
  for _ in range(repeats):
    begin = time.perf_counter()
    jax.block_until_ready(run())
    times.append(time.perf_counter() - begin)
  return statistics.median(times)


class Compiled(NamedTuple):
  function: Callable
  run: Callable
  seconds: float


def compiled(function: Any, *args, **kwargs) -> Compiled:
  begin = time.perf_counter()
  run = function.lower(*args, **kwargs).compile()
  return Compiled(function, run, time.perf_counter() - begin)
