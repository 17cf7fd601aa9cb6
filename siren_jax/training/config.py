"""Length of a run, and intervals of its actions."""

import dataclasses

from siren_jax.common.errors import UserError
from siren_jax.common.rng import check_seed


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Lengths, intervals and seed of a run; all counts are in steps.

  Attributes:
    samples: sounds that each evaluation writes to TensorBoard, if the task
      makes sounds; 0 writes none.
    profile: number of steps that `jax.profiler` traces into WORKDIR/profile,
      after two warm-up steps; 0 traces none.
  """

  steps: int = 1000
  batch_size: int = 16
  log_every: int = 20
  eval_every: int = 500
  eval_batches: int = 8
  samples: int = 2
  checkpoint_every: int = 500
  keep: int = 3
  seed: int = 0
  ema_decay: float = 0.0
  accumulate: int = 1
  profile: int = 0

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      free = ("seed", "ema_decay", "profile", "samples")
      if field.name not in free and value < 1:
        raise UserError(f"train {field.name}={value}: must be at least 1")
    check_seed(self.seed)
    if not 0 <= self.ema_decay < 1:
      raise UserError(
        f"train ema_decay={self.ema_decay}: must be in [0, 1); 0 is off"
      )
    for name in ("profile", "samples"):
      if getattr(self, name) < 0:
        raise UserError(
          f"train {name}={getattr(self, name)}: must be at least 0"
        )
    if self.batch_size % self.accumulate:
      raise UserError(
        f"train batch_size={self.batch_size}: must be a multiple of"
        f" accumulate={self.accumulate}"
      )

  def check_not_accumulated(self) -> None:
    """Raises UserError if `accumulate` is set for a task without support."""
    if self.accumulate > 1:
      raise UserError(
        f"train accumulate={self.accumulate}: only siren-jax train divides a"
        " batch; leave it 1, and lower train.batch_size to save memory"
      )
