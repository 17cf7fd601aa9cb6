"""All settings of an alignment run, and what the trainer needs of them."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from tokenizers import Tokenizer

from siren_jax.alignment import prompts
from siren_jax.alignment.config import AlignConfig
from siren_jax.alignment.task import AlignTask
from siren_jax.common.errors import UserError
from siren_jax.common.mesh import MeshConfig
from siren_jax.common.shards import WHOLE_BATCH, Shard
from siren_jax.experts.execution import ExecutionChanges
from siren_jax.sampling import Models
from siren_jax.training import OptimizerConfig, TrainConfig

_HELD_OUT = 1 << 30  # added to the seed, for other synthetic evaluation prompts


@dataclasses.dataclass(frozen=True)
class AlignDataConfig:
  """The model to align, and the prompts.

  Attributes:
    start: bundle or Stage-1 work directory to start from; "": the built-in
      bundle.
    path: of prompts: a text file, one per line, or a prepared data set, whose
      captions are used; "": none.
    validation: the same for evaluation; "": `path` (a data set has a validation
      split).
    synthetic: number of synthetic sounds whose captions, up to six each, are
      added to the prompts; their claims can be verified.
  """

  start: str = ""
  path: str = ""
  validation: str = ""
  synthetic: int = 0

  def __post_init__(self) -> None:
    if self.synthetic < 0:
      raise UserError(f"data synthetic={self.synthetic}: must be 0 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignExperiment:
  """An alignment run; `train.batch_size` counts prompts, not rollouts.

  The optimizer's steps are minibatches. Weight decay would pull the policy away
  from its reference, so it is 0 by default. Settings not in `execution` are
  those of the start.
  """

  alignment: AlignConfig = AlignConfig()
  execution: ExecutionChanges = ExecutionChanges()
  optimizer: OptimizerConfig = OptimizerConfig(
    learning_rate=1e-6, warmup_steps=10, final_fraction=1.0, weight_decay=0.0
  )
  train: TrainConfig = TrainConfig(batch_size=8)
  mesh: MeshConfig = MeshConfig()
  data: AlignDataConfig = AlignDataConfig()

  # Whether a resumed run still depends on its start.
  reads_start: ClassVar[bool] = True

  def __post_init__(self) -> None:
    self.train.check_not_accumulated()
    rows = self.train.batch_size * self.alignment.group_size
    if rows % self.alignment.minibatches:
      raise UserError(
        f"alignment minibatches={self.alignment.minibatches}: must divide"
        f" batch_size x group_size = {rows} rollouts"
      )

  @property
  def schedule(self) -> OptimizerConfig:
    """The optimizer over all minibatches, unless its `steps` are set."""
    return self.optimizer.with_steps(
      self.train.steps * self.alignment.minibatches
    )


def build(
  experiment: AlignExperiment,
  models: Models,
  params: Mapping[str, Any],
  words: Tokenizer,
  shard: Shard = WHOLE_BATCH,
) -> tuple[AlignTask, Any, Callable[[], Any]]:
  """Task, endless prompts, and a source of prompts to evaluate by.

  Args:
    models, params: what is aligned, see `AlignTask`.
    words: tokenizer of its text tower.
    shard: which prompts of each batch this process reads.

  Raises:
    UserError: no prompts, or a setting that does not fit the model.
  """
  e = experiment
  train = _prompts(e, "train", models)
  held_out = _prompts(e, "validation", models)
  truths, of_training = _truths(train + held_out), len(_truths(train))
  task = AlignTask(
    models, params, e.alignment, e.schedule, truths, e.train.ema_decay
  )
  batches = functools.partial(
    prompts.PromptBatches,
    words=words,
    max_tokens=models.clap.text.max_tokens,
    batch_size=e.train.batch_size,
    seed=e.train.seed,
    shard=shard,
  )
  return (
    task,
    batches(train),
    lambda: batches(held_out, first_truth=of_training),
  )


def _truths(known: list[prompts.Prompt]) -> list[Any]:
  return [p.truth for p in known if p.truth is not None]


def _prompts(
  e: AlignExperiment, split: str, models: Models
) -> list[prompts.Prompt]:
  """Prompts of a file or data set, then synthetic ones."""
  path, seed = e.data.path, e.train.seed
  if split == "validation":
    path, seed = e.data.validation or path, seed + _HELD_OUT
  chosen = prompts.read(path, split) if path else []
  if e.data.synthetic:
    chosen += prompts.synthetic_prompts(
      e.data.synthetic, seed, models.codec.sample_rate, e.alignment.seconds
    )
  if not chosen:
    raise UserError(
      "no prompts: set --config.data.path to a text file or a prepared data"
      " set, or --config.data.synthetic to a number of synthetic sounds"
    )
  return chosen
