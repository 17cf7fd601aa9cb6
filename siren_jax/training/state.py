"""State of training, as saved in checkpoints: arrays only."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax


class TrainState(flax.struct.PyTreeNode):
  """State of training.

  Attributes:
    step: int32 scalar, number of updates; incremented by the trainer.
    params: tree of parameters.
    opt_state: state of the optimizer (or of several, in a dictionary).
    extra: dictionary of whatever else a task changes (codebook usage, a
      discriminator).
    ema: moving average of `params`, or None.
  """

  step: jax.Array
  params: Any
  opt_state: Any
  extra: Any = flax.struct.field(default_factory=dict)
  ema: Any = None

  @classmethod
  def create(
    cls,
    params: Any,
    tx: optax.GradientTransformation,
    extra: Any = None,
    ema: bool = False,
  ) -> "TrainState":
    """State before the first update.

    Call it with parameters boxed in their logical metadata, so that the
    optimizer state is sharded like them. The trainer unboxes.
    """
    return cls(
      step=jnp.zeros((), jnp.int32),
      params=params,
      opt_state=tx.init(params),
      extra={} if extra is None else extra,
      ema=jax.tree.map(jnp.copy, params) if ema else None,
    )

  @property
  def eval_params(self) -> Any:
    """The averaged parameters if there are any, otherwise `params`."""
    return self.params if self.ema is None else self.ema


def averaged(ema: Any, params: Any, decay: float, step: jax.Array | int) -> Any:
  """`ema` moved towards `params`; None stays None.

  The decay is at most (1 + step) / (10 + step), so that early averages forget
  the first parameters.
  """
  if ema is None:
    return None
  now = jnp.minimum(decay, (1 + step) / (10 + step))
  # In this form, the average of a constant is exactly that constant.
  return jax.tree.map(lambda e, p: e + (1 - now) * (p - e), ema, params)
