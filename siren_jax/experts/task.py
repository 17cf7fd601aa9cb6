"""Stage 1: each expert learns its codebooks independently, in one program."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from siren_jax.common.errors import UserError
from siren_jax.common.mesh import with_values
from siren_jax.common.rng import named_key
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.embedding import FROZEN
from siren_jax.experts.ensemble import (
  Variables,
  codebook_metrics,
  expert_loss,
  init,
  loss,
  null_prompt,
  over_experts,
)
from siren_jax.experts.execution import Execution
from siren_jax.training import (
  OptimizerConfig,
  Sounds,
  TrainState,
  make_optimizer,
  supervised_step,
)
from siren_jax.training.task import Batch, Metrics

BATCH = ("codes_BxNxT", "prompt_BxPxC", "frame_mask_BxT", "prompt_mask_BxP")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage1Config:
  """Attributes:
  condition_dropout: share of examples trained without their prompt, for
    guidance in sampling.
  ema_decay: of the averaged parameters; 0: no average.
  accumulate: microbatches per step.
  """

  condition_dropout: float = 0.1
  ema_decay: float = 0.0
  accumulate: int = 1

  def __post_init__(self) -> None:
    if not 0.0 <= self.condition_dropout <= 1.0:
      raise UserError(
        f"condition_dropout={self.condition_dropout} is outside [0, 1]"
      )


class Stage1Task:
  """`training.Task` of the ensemble.

  `start`: trained parameters to continue from; missing ones are initialised.
  `sounds` makes sounds with the experts, a sampler and a codec.

  Each expert has its own loss, gradient, clipping and moments, independent of
  the others. The codec's tables are in `state.extra`, which the optimizer does
  not see.
  """

  def __init__(
    self,
    config: ExpertConfig,
    optimizer: OptimizerConfig,
    embedding_tables: Mapping[str, jax.Array] | None,
    stage: Stage1Config = Stage1Config(),  # noqa: B008 (frozen)
    start: Mapping[str, Any] | None = None,
    execution: Execution = Execution(),
    sounds: Sounds | None = None,
  ):
    execution.check_trains()
    self.sounds = sounds
    self.config, self.execution = config, execution
    self.stage = stage
    self.tables = embedding_tables
    self.init_args = () if start is None else (start,)
    self.tx = make_optimizer(optimizer, decays=decays)

  def init(
    self, key: jax.Array, start: Mapping[str, Any] | None = None
  ) -> TrainState:
    variables = init(key, self.config, self.tables)
    params = with_values(variables["params"], start or {})
    ema = self.stage.ema_decay > 0
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      opt_state=jax.vmap(self.tx.init)(params),
      extra={FROZEN: variables[FROZEN]},
      ema=jax.tree.map(jnp.copy, params) if ema else None,
    )

  def step(
    self, state: TrainState, batch: Batch, key: jax.Array
  ) -> tuple[TrainState, Metrics]:
    """One update of each expert from a batch of the arrays in `BATCH`."""
    batch = self._drop_conditions(batch, named_key(key, "condition"))

    def one(
      params: Any, opt_state: Any, ema: Any, frozen: Any, index: jax.Array
    ) -> tuple[Any, Any, Any, Any]:
      def loss_fn(
        params: Any, batch: Batch, key: jax.Array
      ) -> tuple[jax.Array, Metrics]:
        total, ce_U = expert_loss(
          {"params": params, FROZEN: frozen}, self.config, self.execution,
          index, *(batch[name] for name in BATCH), key=key,
        )  # fmt: skip
        return total, {"ce_U": ce_U}

      update = supervised_step(
        loss_fn, self.tx, self.stage.ema_decay, self.stage.accumulate
      )
      mine = TrainState(state.step, params, opt_state, {}, ema)
      mine, metrics = update(mine, batch, jax.random.fold_in(key, index))
      return mine.params, mine.opt_state, mine.ema, metrics

    params, opt_state, ema, metrics_K = over_experts(
      self.config, self.execution, one, state.params, state.opt_state,
      state.ema, state.extra[FROZEN],
    )  # fmt: skip
    metrics = codebook_metrics(metrics_K.pop("ce_U"))
    metrics |= {name: jnp.mean(value) for name, value in metrics_K.items()}
    state = state.replace(params=params, opt_state=opt_state, ema=ema)
    return state, metrics

  def evaluate(self, state: TrainState, batch: Batch) -> Metrics:
    """The loss without dropout, of the averaged parameters if there are any."""
    total, metrics = loss(
      variables(state),
      self.config,
      *(batch[name] for name in BATCH),
      execution=self.execution,
    )
    return {"loss": total, **metrics}

  def _drop_conditions(self, batch: Batch, key: jax.Array) -> Batch:
    rate = self.stage.condition_dropout
    prompt, mask = batch["prompt_BxPxC"], batch["prompt_mask_BxP"]
    dropped = jax.random.bernoulli(key, rate, mask.shape[:1])[:, None]
    null, null_mask = null_prompt(prompt, mask)
    return dict(
      batch,
      prompt_BxPxC=jnp.where(dropped[..., None], null, prompt),
      prompt_mask_BxP=jnp.where(dropped, null_mask, mask),
    )


def variables(state: TrainState) -> Variables:
  """Variables for `logits`, `loss` and the sampler, from a training state."""
  return {"params": state.eval_params, FROZEN: state.extra[FROZEN]}


def decays(path: tuple[str, ...]) -> bool:
  """True for matrices, false for biases and norms, stacked or not."""
  return not path[-1].endswith(("bias", "scale"))
