"""What the trainer asks of a model, and the step that most models share."""

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

  A task may also have the attributes `shown`, names of the metrics that the
  progress bar shows where they are not the loss; `init_args`, a tuple of trees
  that `init` takes after its key: trained parameters would be constants of its
  program otherwise; and `sounds`, a `training.sounds.Sounds`, which every
  evaluation makes. One whose step needs what is computed on the host is a
  `MeasuredTask`.
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
  """A task whose step is two programs, with work on the host between.

  The trainer gives `step` and `evaluate` the batch `measure(rollout(...))`. A
  task whose `measure` is None is an ordinary one.
  """

  def rollout(
    self, state: TrainState, batch: Batch, key: jax.Array | None
  ) -> Batch:
    """What there is to measure: arrays [B, ...], sharded by their rows.

    Pure and jit-able. `key` is that of the step; None is for an evaluation.
    """
    ...

  @property
  def measure(self) -> Callable[[Batch], Batch] | None:
    """Not jitted. Several processes have their own rows to measure each."""
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
    ema_decay: for `state.ema`, where the state has one.
    accumulate: microbatches a step. Their gradients are averaged: exactly
      the big batch for a mean over examples, up to weighting for a mean over
      a mask.
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

  So no row moves among devices.

  Raises:
    UserError: B is no multiple of `count`.
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
