"""All settings of a Stage-1 run, and what the trainer needs of them."""

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any, ClassVar

import jax

from siren_jax import codec, sampling
from siren_jax.common.errors import UserError
from siren_jax.common.mesh import MeshConfig
from siren_jax.common.shards import WHOLE_BATCH, Shard
from siren_jax.data.batches import pipeline
from siren_jax.data.batches.stream import ReadConfig
from siren_jax.experts.config import SIZES, ExpertConfig
from siren_jax.experts.ensemble import init
from siren_jax.experts.execution import Execution
from siren_jax.experts.task import Stage1Config, Stage1Task, variables
from siren_jax.sampling.config import GenerateConfig
from siren_jax.storage import components
from siren_jax.training import OptimizerConfig, Sounds, TrainConfig, TrainState
from siren_jax.training.task import Batch

_SAMPLED_FROM = ("codes_BxNxT", "prompt_BxPxC", "prompt_mask_BxP")


@dataclasses.dataclass(frozen=True)
class Stage1DataConfig:
  """Where codes and prompts come from.

  Attributes:
    path: code set that `prepare-data --codec --clap` wrote.
    codec: folder of the codec that made the codes; "": `path`, which contains a
      copy of it.
    start: bundle or work directory of experts to continue from; "": none.
    reading: how batches are read ahead.
  """

  path: str = ""
  codec: str = ""
  start: str = ""
  reading: ReadConfig = ReadConfig()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage1Experiment:
  """A Stage-1 training run.

  `generate` does not affect training; `siren-jax export` copies it to bundles.
  """

  experts: ExpertConfig
  execution: Execution = Execution()
  condition_dropout: float = Stage1Config.condition_dropout
  optimizer: OptimizerConfig = OptimizerConfig()
  train: TrainConfig = TrainConfig()
  mesh: MeshConfig = MeshConfig()
  data: Stage1DataConfig = Stage1DataConfig()
  generate: GenerateConfig = GenerateConfig()

  # Whether a resumed run still depends on its start.
  reads_start: ClassVar[bool] = False

  @property
  def schedule(self) -> OptimizerConfig:
    """The optimizer over all training steps, unless its `steps` are set."""
    return self.optimizer.with_steps(self.train.steps)


def build(
  experiment: Stage1Experiment,
  workdir: str | os.PathLike,
  shard: Shard = WHOLE_BATCH,
) -> tuple[Stage1Task, Any, Callable[[], Any]]:
  """Task, endless training batches and a source of validation batches.

  Args:
    shard: which rows of each batch this process reads.

  Raises:
    UserError: the codes, the codec and the experts do not match.
  """
  del workdir  # Only the trainer writes there.
  e = experiment
  codec_model = codec.load(e.data.codec or e.data.path)
  tables = codec.embedding_tables(codec_model.params)
  check_tables(e.experts, tables)
  sounds = sounds_of(e, codec_model.config, codec_model.params)
  task = task_of(e, tables, start_of(e), sounds)
  batches = functools.partial(
    pipeline.code_batches,
    e.data.path,
    batch_size=e.train.batch_size,
    codebooks=(e.experts.num_codebooks, e.experts.codebook_size),
    seed=e.train.seed,
    shard=shard,
    reading=e.data.reading,
  )
  train = batches("train")
  _check_prompts(e, batches("validation"))
  return task, train, lambda: batches("validation")


def sounds_of(
  e: Stage1Experiment, codec_config: codec.CodecConfig, codec_params: Any
) -> Sounds:
  """Sounds for prompts of the code set, and the corresponding recordings.

  The recordings are decoded codes. Prompts and random numbers are the same each
  time. `e.generate` sets the sampling.
  """

  def make(
    state: TrainState, batch: Batch, rows: int, params: Any
  ) -> dict[str, jax.Array]:
    codes, prompt, mask = (batch[name][:rows] for name in _SAMPLED_FROM)
    drawn = sampling.sample(
      variables(state), e.experts, e.generate.sampling, prompt, mask,
      jax.random.split(jax.random.key(0), len(codes)), codes.shape[2],
      execution=e.execution,
    )  # fmt: skip
    decode = functools.partial(codec.decode, params, codec_config)
    return {"recording": decode(codes), "generated": decode(drawn.codes_BxNxT)}

  return Sounds(make, codec_config.sample_rate, (codec_params,))


def task_of(
  e: Stage1Experiment,
  tables: dict[str, jax.Array] | None,
  start: Any = None,
  sounds: Sounds | None = None,
) -> Stage1Task:
  """The task with the codec's tables, or without (shapes only)."""
  stage = Stage1Config(
    condition_dropout=e.condition_dropout,
    ema_decay=e.train.ema_decay,
    accumulate=e.train.accumulate,
  )
  return Stage1Task(
    e.experts, e.schedule, tables, stage, start, e.execution, sounds
  )


def start_of(e: Stage1Experiment) -> Any:
  """Parameters that training continues from; None: random ones.

  Raises:
    UserError: they are missing, or have other sizes.
  """
  if not e.data.start:
    return None
  config, start = components.load(e.data.start, "experts", ExpertConfig, init)
  for name in SIZES:
    if getattr(config, name) != getattr(e.experts, name):
      raise UserError(
        f"data.start={e.data.start}: its experts have {name}="
        f"{getattr(config, name)}, but this config has"
        f" {getattr(e.experts, name)}; set both to the same value"
      )
  return start.get("params", start)  # A bundle has the codec's tables too.


def check_tables(config: ExpertConfig, tables: dict[str, jax.Array]) -> None:
  """Checks that the experts' sizes match the codec.

  Raises:
    UserError: names the setting and the codec's value.
  """
  num_codebooks, codebook_size, code_dim = tables["codebook_NxVx8"].shape
  sizes = {
    "num_codebooks": num_codebooks,
    "codebook_size": codebook_size,
    "code_dim": code_dim,
    "feature_dim": tables["bias_NxF"].shape[1],
  }
  for name, size in sizes.items():
    if getattr(config, name) != size:
      raise UserError(
        f"config experts.{name}={getattr(config, name)}, but the codec has "
        f"{size}; set --config.experts.{name}={size} or use another codec"
      )


def _check_prompts(experiment: Stage1Experiment, batches: Any) -> None:
  width = next(batches)["prompt_BxPxC"].shape[2]
  if width != experiment.experts.prompt_dim:
    raise UserError(
      f"config experts.prompt_dim={experiment.experts.prompt_dim}, but prompts "
      f"in {experiment.data.path} are {width} wide; set "
      f"--config.experts.prompt_dim={width}"
    )
