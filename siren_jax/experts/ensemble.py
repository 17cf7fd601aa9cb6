"""All experts at once: the same expert, its variables stacked on axis K.

The variables are `{"params": ..., "frozen": ...}`: trained parameters, and the
codec's tables. Every leaf has the leading axis K, logically named "expert".
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.common import tuning
from siren_jax.common.masks import masked_mean
from siren_jax.common.mesh import constrain, expert_ways, is_single_device
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.embedding import FROZEN
from siren_jax.experts.execution import Execution
from siren_jax.experts.expert import ResidualExpert, is_boxed

Variables = Mapping[str, Any]


def init(
  key: jax.Array, config: ExpertConfig, embedding_tables: Mapping | None = None
) -> Variables:
  """Variables of all experts, stacked, boxed with their logical axis names.

  Weights are normal, biases zero, norms one (docs/design.md, What Siren is).

  Args:
    embedding_tables: the codec's `codebook_NxVx8`, `weight_NxFx8`,
      `bias_NxF`; None: zeros (for shapes only).
  """
  example = (
    jnp.zeros((1, config.num_codebooks, 1), jnp.int32),
    jnp.zeros((1, 1, config.prompt_dim)),
    jnp.ones((1, 1), bool),
    jnp.ones((1, 1), bool),
    jnp.int32(0),
  )
  one = jax.eval_shape(ResidualExpert(config).init, key, *example)
  stacked = jax.tree.map(
    lambda box: box.replace_boxed(
      jax.ShapeDtypeStruct((config.num_experts, *box.value.shape), jnp.float32)
    ).add_axis(0, {nn.PARTITION_NAME: "expert"}),
    one,
    is_leaf=is_boxed,
  )
  boxes, tree = jax.tree.flatten_with_path(stacked, is_leaf=is_boxed)
  weights = _draw(
    key, {path: box for path, box in boxes if _kind(path) == "weight"}
  )

  def value(path: Any, shape: tuple[int, ...]) -> jax.Array:
    match _kind(path):
      case "weight":
        return config.init_std * weights[path]
      case "frozen":
        table = (embedding_tables or {}).get(path[-1].key, 0.0)
        return jnp.broadcast_to(jnp.asarray(table, jnp.float32), shape)
      case kind:
        return jnp.full(shape, kind == "scale", jnp.float32)

  return jax.tree.unflatten(
    tree,
    [box.replace_boxed(value(path, box.value.shape)) for path, box in boxes],
  )


def _draw(key: jax.Array, boxes: Mapping[Any, Any]) -> dict[Any, jax.Array]:
  """Standard normal values of the shapes in `boxes`.

  Each device draws its own part. A loop draws one layer at a time to save
  memory for random bits. Leaves with identical layers share a loop, because
  each loop takes a second to compile on a CPU.
  """
  alike: dict[Any, dict[Any, int]] = {}  # (shape, names) -> path -> layers
  for path, box in boxes.items():
    (experts, *shape), (_, *names) = box.value.shape, box.names
    is_stack = names[0] == "layers"
    kind = (experts, *shape[is_stack:]), ("expert", *names[is_stack:])
    alike.setdefault(kind, {})[path] = shape[0] if is_stack else 1
  counts = [sum(layers.values()) for layers in alike.values()]
  keys = jnp.split(jax.random.split(key, sum(counts)), np.cumsum(counts)[:-1])
  values = {}
  for ((shape, names), layers), own in zip(alike.items(), keys, strict=True):
    one = functools.partial(_draw_layer, shape, names)
    drawn = jax.lax.map(one, own)
    parts = jnp.split(drawn, np.cumsum([*layers.values()])[:-1])
    for path, part in zip(layers, parts, strict=True):
      values[path] = part.swapaxes(0, 1).reshape(boxes[path].value.shape)
  return values


def _draw_layer(
  shape: tuple[int, ...], names: tuple[str | None, ...], key: jax.Array
) -> jax.Array:
  return constrain(jax.random.normal(key, shape), *names)


def _kind(path: Any) -> str:
  if path[0].key == FROZEN:
    return FROZEN
  name = path[-1].key
  return (
    name if name == "scale" else "bias" if name.endswith("bias") else "weight"
  )


def logits(
  params: Variables,
  config: ExpertConfig,
  codes_BxNxT: jax.Array,
  prompt_BxPxC: jax.Array,
  frame_mask_BxT: jax.Array,
  prompt_mask_BxP: jax.Array,
  numbers: Sequence[int] | None = None,
  *,
  execution: Execution = Execution(),
) -> jax.Array:
  """Teacher-forced logits [B, N, T, V] of all experts, in float32.

  Frame t of codebook n depends on all codes of the frames before t and on
  codes 0 .. n-1 of frame t.

  Args:
    numbers: which experts `params` holds, if not all; N is then their number of
      codebooks.
    execution: how they are run.
  """
  _check(config, codes_BxNxT, prompt_BxPxC, frame_mask_BxT, prompt_mask_BxP)

  def one(variables: Variables, index: jax.Array) -> jax.Array:
    predicted: Any = ResidualExpert(config, execution).apply(
      variables, codes_BxNxT, prompt_BxPxC, frame_mask_BxT, prompt_mask_BxP,
      index,
    )  # fmt: skip
    return jnp.stack(predicted)

  logits_KxUxBxTxV = over_experts(
    config, execution, one, nn.unbox(params), numbers=numbers
  )
  logits_NxBxTxV = logits_KxUxBxTxV.reshape(-1, *logits_KxUxBxTxV.shape[2:])
  return logits_NxBxTxV.swapaxes(0, 1)


def loss(
  params: Variables,
  config: ExpertConfig,
  codes_BxNxT: jax.Array,
  prompt_BxPxC: jax.Array,
  frame_mask_BxT: jax.Array,
  prompt_mask_BxP: jax.Array,
  *,
  execution: Execution = Execution(),
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Mean of the experts' losses, and the cross-entropy of each codebook.

  Args: see `logits`.

  Returns:
    The loss, and metrics `ce_codebook_0` ... in nats.
  """
  _check(config, codes_BxNxT, prompt_BxPxC, frame_mask_BxT, prompt_mask_BxP)
  batch = (codes_BxNxT, prompt_BxPxC, frame_mask_BxT, prompt_mask_BxP)
  losses_K, ce_KxU = over_experts(
    config,
    execution,
    lambda variables, k: expert_loss(variables, config, execution, k, *batch),
    nn.unbox(params),
  )
  return jnp.mean(losses_K), codebook_metrics(ce_KxU)


def expert_loss(
  variables: Variables,
  config: ExpertConfig,
  execution: Execution,
  index: jax.Array,
  codes_BxNxT: jax.Array,
  prompt_BxPxC: jax.Array,
  frame_mask_BxT: jax.Array,
  prompt_mask_BxP: jax.Array,
  *,
  key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """One expert's loss, and its cross-entropies [U], whose mean it is."""
  predicted: Any = ResidualExpert(config, execution).apply(
    variables, codes_BxNxT, prompt_BxPxC, frame_mask_BxT, prompt_mask_BxP,
    index, key,
  )  # fmt: skip
  own = config.codebooks_per_expert
  targets_BxUxT = jax.lax.dynamic_slice_in_dim(
    codes_BxNxT, own * index, own, axis=1
  )
  ce_U = jnp.stack(
    [
      masked_mean(
        cross_entropy(logits_BxTxV, targets_BxUxT[:, i]), frame_mask_BxT
      )
      for i, logits_BxTxV in enumerate(predicted)
    ]
  )
  return jnp.mean(ce_U), ce_U


def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
  """-log softmax(logits)[targets], in float32, over the last axis."""
  logits = logits.astype(jnp.float32)
  picked = jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
  return jax.nn.logsumexp(logits, -1) - picked


def codebook_metrics(ce_KxU: jax.Array) -> dict[str, jax.Array]:
  """`{"ce_codebook_0": ...}` from the cross-entropies of all experts."""
  return {f"ce_codebook_{n}": ce for n, ce in enumerate(ce_KxU.reshape(-1))}


def over_experts(
  config: ExpertConfig,
  execution: Execution,
  function: Callable,
  *stacked: Any,
  numbers: Sequence[int] | None = None,
) -> Any:
  """Maps function(*leaves of one expert, its number) over the experts.

  Batched or sequential, as `execution.expert_loop` says. "auto" is sequential
  on a single device if `tuning` says so for its kind. With "map", the experts
  of each device of a mesh run sequentially.

  Args:
    numbers: which experts `stacked` holds; all by default.
  """
  numbers = range(config.num_experts) if numbers is None else numbers
  inputs = (*stacked, jnp.array(numbers))
  if not _runs_sequentially(execution):
    return jax.vmap(function)(*inputs)
  ways = math.gcd(expert_ways(), len(numbers))
  if ways == 1:
    return jax.lax.map(lambda args: function(*args), inputs)
  # The experts of a device are adjacent on the sharded axis: nothing moves.
  in_turn = jax.tree.map(
    lambda x: x.reshape(ways, -1, *x.shape[1:]).swapaxes(0, 1), inputs
  )
  results = jax.lax.map(lambda args: jax.vmap(function)(*args), in_turn)
  return jax.tree.map(
    lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), results
  )


def _runs_sequentially(execution: Execution) -> bool:
  if execution.expert_loop != "auto":
    return execution.expert_loop == "map"
  return is_single_device() and tuning.current().sequential_experts


def null_prompt(
  prompt_BxPxC: jax.Array, prompt_mask_BxP: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The empty prompt: zeros, with only the first token unmasked.

  It stands for "no condition" in training and guidance (our design: it has no
  parameters, so that it works with the authors' checkpoints too).
  """
  first = jnp.arange(prompt_mask_BxP.shape[-1]) == 0
  mask = jnp.broadcast_to(first, prompt_mask_BxP.shape)
  return jnp.zeros_like(prompt_BxPxC), mask


def _check(
  config: ExpertConfig,
  codes: jax.Array,
  prompt: jax.Array,
  frame_mask: jax.Array,
  prompt_mask: jax.Array,
) -> None:
  batch, _, frames = codes.shape
  tokens = prompt.shape[1]
  chex.assert_shape(codes, (batch, config.num_codebooks, frames))
  chex.assert_shape(prompt, (batch, tokens, config.prompt_dim))
  chex.assert_shape(frame_mask, (batch, frames))
  chex.assert_shape(prompt_mask, (batch, tokens))
