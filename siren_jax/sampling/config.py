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
  """A sampling method. Numbers are data, their presence is structure.

  So another temperature needs no new compilation, and guidance that is not
  used costs nothing.

  Attributes:
    temperature: divides the logits; from 1e-6 to 1e6.
    top_k: only so many most likely codes can be drawn; None: all.
    top_p: only the fewest codes that hold this probability; None: all.
    guidance: classifier-free guidance, the factor by which the logits move
      away from those without a prompt, at most 100; 1 is none at twice the
      cost, None none.
    greedy: always the most likely code, whatever the rest says.
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
      if _is_none_or_traced(value):
        continue
      kinds = (int, np.integer) if name == "top_k" else (int, float, np.number)
      right = isinstance(value, kinds) and not isinstance(value, bool)
      if not (right and low <= value <= high):
        kind = "a whole number" if name == "top_k" else "a number"
        raise UserError(
          f"{name} {value}: must be {kind}, at least {low} and at most"
          f" {high}{more}"
        )


def _is_none_or_traced(value: Any) -> bool:
  """Traced values (in jit) were checked before they got there."""
  return not isinstance(value, int | float | str | np.number)


jax.tree_util.register_dataclass(
  SamplingConfig,
  data_fields=["temperature", "top_k", "top_p", "guidance"],
  meta_fields=["greedy"],
)


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
  """What `generate` does with a model by default.

  Attributes:
    sampling: how each code is drawn.
    candidates: sounds drawn for each one; the one that CLAP finds nearest to
      the prompt is kept.
    max_seconds: the longest sound that the experts were trained on; longer ones
      are drawn in windows of that length.
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
  """How many sounds to draw for one.

  Raises:
    UserError: no whole number, fewer than one, or too many.
  """
  whole = isinstance(candidates, int) and not isinstance(candidates, bool)
  if not (whole and 1 <= candidates <= MAX_CANDIDATES):
    raise UserError(
      f"candidates {candidates}: give 1 to {MAX_CANDIDATES}; each takes as "
      "long as a sound"
    )
  return candidates
