"""The optax chain: clip, AdamW, warm-up and cosine."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.traverse_util
import jax
import optax

from siren_jax.common.errors import UserError

Choice = Callable[[tuple[Any, ...]], bool]  # selects parameters by path


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """AdamW as in the paper.

  `steps` is the end of the cosine. In an experiment, 0 means the length of its
  training; elsewhere, a constant rate after warm-up.
  """

  learning_rate: float = 3e-4
  warmup_steps: int = 100
  steps: int = 0
  final_fraction: float = 0.1
  b1: float = 0.9
  b2: float = 0.95
  weight_decay: float = 0.05
  clip_norm: float = 1.0

  def __post_init__(self) -> None:
    checks = (
      ("learning_rate", self.learning_rate > 0, "must be above 0"),
      ("final_fraction", 0 <= self.final_fraction <= 1, "must be in [0, 1]"),
      ("b1", 0 <= self.b1 < 1, "must be in [0, 1)"),
      ("b2", 0 <= self.b2 < 1, "must be in [0, 1)"),
      ("weight_decay", self.weight_decay >= 0, "must be at least 0"),
      ("clip_norm", self.clip_norm > 0, "must be above 0; a large one is off"),
      (
        "steps",
        self.steps >= 0,
        "must be at least 1, or 0 for the length of training",
      ),
    )
    for name, is_right, remedy in checks:
      if not is_right:
        raise UserError(f"optimizer {name}={getattr(self, name)}: {remedy}")
    below = f" and below optimizer.steps={self.steps}" if self.steps else ""
    if self.warmup_steps < 0 or 0 < self.steps <= self.warmup_steps:
      raise UserError(
        f"optimizer warmup_steps={self.warmup_steps}: must be at least 0"
        f"{below}; set --config.optimizer.warmup_steps"
      )

  def with_steps(self, steps: int) -> "OptimizerConfig":
    """The config with `steps` set, if it is 0.

    A warm-up that is not shorter than `steps` is reduced to a tenth of it. 0
    changes nothing.
    """
    if self.steps or not steps:
      return self
    warmup_steps = self.warmup_steps
    if warmup_steps >= steps:
      warmup_steps = steps // 10
    return dataclasses.replace(self, steps=steps, warmup_steps=warmup_steps)


def learning_rate(config: OptimizerConfig) -> optax.Schedule:
  """Linear from 0 to the peak, then cosine to `final_fraction` of it."""
  if not config.steps:
    return optax.warmup_constant_schedule(
      init_value=0.0 if config.warmup_steps else config.learning_rate,
      peak_value=config.learning_rate,
      warmup_steps=config.warmup_steps,
    )
  return optax.warmup_cosine_decay_schedule(
    init_value=0.0 if config.warmup_steps else config.learning_rate,
    peak_value=config.learning_rate,
    warmup_steps=config.warmup_steps,
    decay_steps=config.steps,
    end_value=config.learning_rate * config.final_fraction,
  )


def make_optimizer(
  config: OptimizerConfig,
  decays: Choice | None = None,
  trains: Choice | None = None,
) -> optax.GradientTransformation:
  """Clip by global norm, then AdamW; decay only for two axes or more.

  Args:
    config: settings.
    decays: selects parameters with weight decay by path, if the number of axes
      does not tell (stacked layers).
    trains: selects trained parameters by path; the others stay fixed, and their
      gradients do not count in the norm. None: all.
  """

  def decay_mask(params: Any) -> Any:
    if decays is None:
      return jax.tree.map(lambda p: p.ndim >= 2, params)
    return flax.traverse_util.path_aware_map(
      lambda path, _: decays(path), params
    )

  chain = optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adamw(
      learning_rate(config),
      b1=config.b1,
      b2=config.b2,
      weight_decay=config.weight_decay,
      mask=decay_mask,
    ),
  )
  if trains is None:
    return chain

  def label(params: Any) -> Any:
    return flax.traverse_util.path_aware_map(
      lambda path, _: "trained" if trains(path) else "kept", params
    )

  kept = optax.set_to_zero()
  return optax.partition({"trained": chain, "kept": kept}, label)
