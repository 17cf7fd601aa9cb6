"""Logs metrics of a run to files and the screen."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import jax
import numpy as np

from siren_jax.common.errors import UserError
from siren_jax.training.config import TrainConfig
from siren_jax.training.metrics import MetricWriter, Progress
from siren_jax.training.task import Metrics


class RunLog:
  """Metrics of a run: fetched a step late, averaged, written, shown."""

  def __init__(
    self,
    workdir: Path,
    config: TrainConfig,
    step: int,
    shown: Sequence[str] = ("loss",),
  ):
    main = jax.process_index() == 0
    self._every, self._last = config.log_every, config.steps
    # Only the main process writes and shows.
    self._writer = MetricWriter(workdir, step) if main else None
    self._progress = Progress(config.steps, step, "train") if main else None
    self._shown = shown
    self._pending: tuple[int, Metrics] | None = None
    self._window: list[dict[str, float]] = []
    if self._writer and self._writer.kept:
      self.print(
        f"moved metrics of a run without a checkpoint to {self._writer.kept}"
      )

  def push(self, step: int, metrics: Metrics) -> None:
    """Takes the metrics of `step`, and fetches those of the step before."""
    self.drain()
    self._pending = step, metrics

  def drain(self) -> None:
    """Fetches what is pending; raises UserError if it is not finite."""
    if self._pending is None:
      return
    (step, metrics), self._pending = self._pending, None
    values = {k: float(v) for k, v in jax.device_get(metrics).items()}
    for name, value in values.items():
      if ("loss" in name or "norm" in name) and not math.isfinite(value):
        raise UserError(
          f"{name} is {value} at step {step}; the last checkpoint is good:"
          " lower the learning rate and start from it, or look at the data"
        )
    self._window.append(values)
    if step % self._every == 0 or step == self._last:
      means = {k: float(np.mean([v[k] for v in self._window])) for k in values}
      self._window = []
      self.write(step, {f"train/{k}": v for k, v in means.items()})
    elif self._progress:
      self._progress.advance(step)

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes and shows scalars of `step`."""
    if self._writer:
      self._writer.write(step, scalars)
    if self._progress:
      named = {f"{part}/{n}" for part in ("train", "eval") for n in self._shown}
      shown = {k: v for k, v in scalars.items() if k in named}
      self._progress.advance(step, shown or scalars)

  def write_sounds(
    self, step: int, sounds: Mapping[str, np.ndarray], sample_rate: int
  ) -> None:
    """Writes sounds [B, S] of `step`."""
    if self._writer:
      self._writer.write_sounds(step, sounds, sample_rate)

  def pause(self) -> AbstractContextManager[None]:
    """A context whose time does not count towards steps."""
    return self._progress.pause() if self._progress else nullcontext()

  def print(self, line: str) -> None:
    """Prints a line."""
    if self._progress:
      self._progress.print(line)

  def close(self) -> None:
    """Closes files and bar."""
    if self._progress:
      self._progress.close()
    if self._writer:
      self._writer.close()
