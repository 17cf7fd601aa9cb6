"""All settings of a codec training run, and what the trainer needs of them."""

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any, ClassVar

from siren_jax.codec import model as codec_model
from siren_jax.codec.config import (
  CodecConfig,
  DacConfig,
  SpectralCodecConfig,
)
from siren_jax.codec.task import CodecLossConfig, CodecTask
from siren_jax.common.errors import UserError
from siren_jax.common.mesh import MeshConfig
from siren_jax.common.shards import WHOLE_BATCH, Shard
from siren_jax.data.augment import AugmentConfig
from siren_jax.data.batches import pipeline
from siren_jax.data.batches.stream import ReadConfig
from siren_jax.training import OptimizerConfig, TrainConfig


@dataclasses.dataclass(frozen=True)
class CodecDataConfig:
  """Where the sound comes from.

  Attributes:
    path: prepared audio set.
    crop_frames: code frames in a training example.
    augment: how examples are varied.
    start: bundle or work directory of a codec to start from; "" starts afresh.
    reading: how batches are read ahead.
  """

  path: str = ""
  crop_frames: int = 26
  augment: AugmentConfig = AugmentConfig()
  start: str = ""
  reading: ReadConfig = ReadConfig()


@dataclasses.dataclass(frozen=True)
class CodecExperiment:
  """A codec training run."""

  codec: CodecConfig = SpectralCodecConfig()
  loss: CodecLossConfig = CodecLossConfig()
  optimizer: OptimizerConfig = OptimizerConfig()
  train: TrainConfig = TrainConfig()
  mesh: MeshConfig = MeshConfig()
  data: CodecDataConfig = CodecDataConfig()

  # Whether a resumed run still depends on its start.
  reads_start: ClassVar[bool] = False

  def __post_init__(self) -> None:
    self.train.check_not_accumulated()
    if self.loss.lock_codes and not self.data.start:
      raise UserError(
        "codec loss lock_codes=True: needs a trained codec; give data.start"
      )

  @property
  def schedule(self) -> OptimizerConfig:
    """The optimizer over all training steps, unless its `steps` are set."""
    return self.optimizer.with_steps(self.train.steps)


def build(
  experiment: CodecExperiment,
  workdir: str | os.PathLike,
  shard: Shard = WHOLE_BATCH,
) -> tuple[CodecTask, Any, Callable[[], Any]]:
  """Task, endless training batches and a source of validation batches.

  Args:
    shard: which rows of each batch this process reads.
  """
  del workdir  # Only the trainer writes there.
  e = experiment
  task = CodecTask(e.codec, e.loss, e.schedule, e.train.ema_decay, start_of(e))
  batches = functools.partial(
    pipeline.audio_batches,
    e.data.path,
    batch_size=e.train.batch_size,
    crop_seconds=e.data.crop_frames * e.codec.hop / e.codec.sample_rate,
    sample_rate=e.codec.sample_rate,
    seed=e.train.seed,
    shard=shard,
    reading=e.data.reading,
  )
  train = batches("train", config=e.data.augment)
  return task, train, lambda: batches("validation")


def start_of(e: CodecExperiment) -> Any:
  """Parameters that training starts from; None: random ones.

  Raises:
    UserError: there are none, or they belong to another codec.
  """
  if not e.data.start:
    return None
  start = codec_model.load(e.data.start)
  if _sizes(start.config) != _sizes(e.codec):
    raise UserError(
      f"data.start={e.data.start}: its codec differs in size from this config;"
      " train with the config it was trained with"
    )
  return start.params


def _sizes(config: CodecConfig) -> CodecConfig:
  """The config without the search settings, which may change."""
  if isinstance(config, DacConfig):
    return config
  return dataclasses.replace(config, beam=1)
