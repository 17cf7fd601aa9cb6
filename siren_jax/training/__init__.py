"""The trainer, for any model with the `Task` protocol; the optimizer."""

from siren_jax.training.config import TrainConfig
from siren_jax.training.optimizer import (
  OptimizerConfig,
  learning_rate,
  make_optimizer,
)
from siren_jax.training.sounds import Sounds
from siren_jax.training.state import TrainState, averaged
from siren_jax.training.task import Task, split_rows, supervised_step
from siren_jax.training.trainer import train

__all__ = [
  "OptimizerConfig",
  "Sounds",
  "Task",
  "TrainConfig",
  "TrainState",
  "averaged",
  "learning_rate",
  "make_optimizer",
  "split_rows",
  "supervised_step",
  "train",
]
