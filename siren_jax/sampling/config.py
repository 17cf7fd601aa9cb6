"""Settings of the sampler, and of `generate`."""

import dataclasses
from typing import Any

import jax
import numpy as np

from siren_jax.common.errors import UserError

MAX_CANDIDATES = 64
MAX_SECONDS = 3600.0


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
  """A sampling method. Values may be traced; None is static.

  Another temperature needs no recompilation, and unused guidance costs nothing.

  Attributes:
    temperature: divides the logits; from 1e-6 to 1e6.
    top_k: draw only from this many most likely codes; None: from all.
    top_p: draw only from the smallest set of codes with this total probability;
      None: from all.
    guidance: scale of classifier-free guidance, at most 100. 1 has no effect at
      twice the cost; None: no guidance.
    greedy: always take the most likely code, ignoring the other settings.
  """

  temperature: float = 1.0
  top_k: int | None = None
  top_p: float | None = None
  guidance: float | None = None
  greedy: bool = False

  def __post_init__(self) -> None:
    limits: tuple[tuple[str, float, float, str], ...] = (
      ("temperature", 1e-6, 1e6, "; for greedy decoding, set greedy=True"),
      ("top_k", 1, 2**31 - 1, ""),
      ("top_p", 1e-6, 1, ""),
      ("guidance", 0, 100, "; around 3 is usual"),
    )
    for name, low, high, more in limits:
      value: Any = getattr(self, name)
      value = _number(value)
      if value is None:
        continue
      kinds = (int, np.integer) if name == "top_k" else (int, float, np.number)
      right = isinstance(value, kinds) and not isinstance(value, bool)
      if not (right and low <= value <= high):
        kind = "a whole number" if name == "top_k" else "a number"
        raise UserError(
          f"{name} {value}: must be {kind}, at least {low} and at most"
          f" {high}{more}"
        )


def _number(value: Any) -> Any:
  """The value to check; None for traced ones, which were checked before."""
  if isinstance(value, np.ndarray | jax.Array) and not value.ndim:
    return None if isinstance(value, jax.core.Tracer) else value.item()
  return value if isinstance(value, int | float | str | np.number) else None


jax.tree_util.register_dataclass(
  SamplingConfig,
  data_fields=["temperature", "top_k", "top_p", "guidance"],
  meta_fields=["greedy"],
)


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
  """Default settings of `generate` for a model.

  Attributes:
    sampling: how each code is drawn.
    candidates: drawn for each sound; the one closest to the prompt by CLAP is
      kept.
    max_seconds: length of the longest training sounds; longer sounds are drawn
      in windows of this length.
  """

  sampling: SamplingConfig = SamplingConfig()
  candidates: int = 1
  max_seconds: float = 30.0

  def __post_init__(self) -> None:
    check_candidates(self.candidates)
    if not 0 < self.max_seconds <= MAX_SECONDS:
      raise UserError(
        f"max_seconds {self.max_seconds}: must be above 0 and at most"
        f" {MAX_SECONDS:g}"
      )


def check_candidates(candidates: int) -> int:
  """Checks a number of candidates and returns it.

  Raises:
    UserError: not a whole number, less than one, or too large.
  """
  kinds = (int, np.integer)
  whole = isinstance(candidates, kinds) and not isinstance(candidates, bool)
  if not (whole and 1 <= candidates <= MAX_CANDIDATES):
    raise UserError(
      f"candidates {candidates}: give a whole number from 1 to"
      f" {MAX_CANDIDATES}; each takes as long as a sound"
    )
  return int(candidates)
