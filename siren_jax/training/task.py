"""The interface of models to the trainer, and a step shared by most models."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax

from siren_jax.common.errors import UserError
from siren_jax.common.mesh import constrain
from siren_jax.training.state import TrainState, averaged

Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]
LossFn = Callable[[Any, Batch, jax.Array], tuple[jax.Array, Metrics]]


class Task(Protocol):
  """One model and its objective. All three methods are pure and jit-able.

  Optional attributes: `shown`, names of the metrics in the progress bar instead
  of the loss; `init_args`, a tuple of trees passed to `init` after its key, for
  trained parameters, which would be constants of its program otherwise; and
  `sounds`, a `training.sounds.Sounds`, made at each evaluation. A task whose
  step needs a computation on the host is a `MeasuredTask`.
  """

  @property
  def init(self) -> Callable[..., TrainState]:
    """(key, *init_args) -> state before the first update.

    It may carry logical metadata (boxed).
    """
    ...

  def step(
    self, state: TrainState, batch: Batch, key: jax.Array
  ) -> tuple[TrainState, Metrics]:
    """One update (`state.step` is the trainer's) and scalar metrics."""
    ...

  def evaluate(self, state: TrainState, batch: Batch) -> Metrics:
    """Scalar metrics of one batch, averaged by the trainer over batches."""
    ...


@runtime_checkable
class MeasuredTask(Task, Protocol):
  """A task whose step is two programs, with a computation on the host between.

  The trainer passes `measure(rollout(...))` as the batch to `step` and
  `evaluate`. A task whose `measure` is None is an ordinary task.
  """

  def rollout(
    self, state: TrainState, batch: Batch, key: jax.Array | None
  ) -> Batch:
    """The input of `measure`: arrays [B, ...], sharded by rows.

    Pure and jit-able. `key`: of the step; None: for an evaluation.
    """
    ...

  @property
  def measure(self) -> Callable[[Batch], Batch] | None:
    """Not jitted. Each process measures its own rows."""
    ...


def supervised_step(
  loss_fn: LossFn,
  tx: optax.GradientTransformation,
  ema_decay: float = 0.0,
  accumulate: int = 1,
) -> Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]:
  """`Task.step` for a plain loss.

  Args:
    loss_fn: (params, batch, key) -> (scalar loss, dictionary of scalars).
    tx: optimizer.
    ema_decay: for `state.ema`, if the state has one.
    accumulate: microbatches per step. Averaging their gradients equals the full
      batch exactly for a mean over examples, and up to weighting for a masked
      mean.
  """

  def gradients(
    params: Any, batch: Batch, key: jax.Array
  ) -> tuple[Any, Metrics]:
    grad = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, metrics), grads = grad(params, batch, key)
    return grads, {"loss": loss, **metrics}

  def step(
    state: TrainState, batch: Batch, key: jax.Array
  ) -> tuple[TrainState, Metrics]:
    if accumulate == 1:
      grads, metrics = gradients(state.params, batch, key)
    else:
      grads, metrics = _accumulated(
        gradients, state.params, batch, key, accumulate
      )
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = averaged(state.ema, params, ema_decay, state.step)
    metrics["grad_norm"] = optax.global_norm(grads)
    return state.replace(params=params, opt_state=opt_state, ema=ema), metrics

  return step


def _accumulated(
  gradients: Callable[[Any, Batch, jax.Array], tuple[Any, Metrics]],
  params: Any,
  batch: Batch,
  key: jax.Array,
  count: int,
) -> tuple[Any, Metrics]:
  """Mean over `count` microbatches, one after the other in a scan."""
  micro = split_rows(batch, count)

  def add(total: Any, inputs: tuple[jax.Array, Batch]) -> tuple[Any, None]:
    index, part = inputs
    new = gradients(params, part, jax.random.fold_in(key, index))
    return jax.tree.map(jnp.add, total, new), None

  first = jax.tree.map(lambda x: x[0], micro)
  shapes = jax.eval_shape(gradients, params, first, key)
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  total, _ = jax.lax.scan(add, zeros, (jnp.arange(count), micro))
  return jax.tree.map(lambda x: x / count, total)


def split_rows(tree: Any, count: int) -> Any:
  """Arrays [B, ...] to [count, B / count, ...]; row i goes to i % count.

  In this order, no row moves between devices.

  Raises:
    UserError: B is not a multiple of `count`.
  """

  def split(x: jax.Array) -> jax.Array:
    if x.shape[0] % count:
      raise UserError(
        f"batch of {x.shape[0]} does not divide into {count} microbatches"
        " (accumulate, minibatches); make it a multiple"
      )
    x = x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1)
    return constrain(x, None, "batch", *[None] * (x.ndim - 2))

  return jax.tree.map(split, tree)
