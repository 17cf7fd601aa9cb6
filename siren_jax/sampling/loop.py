"""THE sampler: one jitted scan over frames, all experts, a batch of prompts.

Within a frame the experts' temporal paths depend on earlier frames only, so
they run as one batched computation; only their small depth paths take turns
(docs/design.md, Paths). All devices of a mesh make every turn; what is drawn
by the one whose expert's turn it is, goes to all.

Axis R: the rows of `state`, I x B of them.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from siren_jax.common import mesh as meshes
from siren_jax.experts.attention import Blocks, Cache
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.execution import Execution
from siren_jax.experts.expert import DepthBlock, TemporalBlock
from siren_jax.experts.layers import RMSNorm, linear
from siren_jax.sampling import methods
from siren_jax.sampling.config import SamplingConfig
from siren_jax.sampling.state import (
  ROWS,
  Prompted,
  State,
  constrain_cache,
  embed,
  prepare,
  prepare_weights,
  start,
)

CHUNK = 10  # frames of a call of `advance`

# Draws codebook n's code of every row, [B], from its logits [I, B, V].
Choose = Callable[[int, jax.Array], jax.Array]


class Samples(NamedTuple):
  """What `sample` and `advance` return.

  Attributes:
    codes_BxNxT: int32.
    log_probs_BxNxT: of each code, under the method that drew it.
  """

  codes_BxNxT: jax.Array
  log_probs_BxNxT: jax.Array


class Kept(NamedTuple):
  """Codes that are given rather than drawn.

  Attributes:
    codes_BxNxT: of T frames to come.
    num_codebooks: int32 scalar; the first so many are given.
  """

  codes_BxNxT: jax.Array
  num_codebooks: jax.Array


@functools.partial(
  jax.jit, static_argnames=("config", "num_frames", "execution")
)
def sample(
  params: Mapping[str, Any],
  config: ExpertConfig,
  sampling: SamplingConfig,
  prompt_BxPxC: jax.Array,
  prompt_mask_BxP: jax.Array,
  keys_B: jax.Array,
  num_frames: int,
  *,
  execution: Execution = Execution(),
) -> Samples:
  """Draws codes for every prompt, all frames in one program.

  Args:
    params: stacked variables of `experts.init` or `weights`.
    keys_B: one random key a row; a row depends on nothing but its own prompt
      and key.
    num_frames: T, code frames to make.
    execution: only its `dtype` matters here.
  """
  weights = prepare_weights(params, config, execution)
  prompted = prepare(weights, sampling, prompt_BxPxC, prompt_mask_BxP)
  state = start(prompted, num_frames)
  return advance(prompted, state, keys_B, num_frames=num_frames)[1]


@functools.partial(
  jax.jit, static_argnames="num_frames", donate_argnames="state"
)
def advance(
  prompted: Prompted,
  state: State,
  keys_B: jax.Array,
  kept: Kept | None = None,
  *,
  num_frames: int = CHUNK,
) -> tuple[State, Samples]:
  """Draws the next frames of every row.

  A frame's random numbers follow from its row's key and its own number, so
  neither the number of frames a call nor the batch matters. What is drawn
  beyond the state's capacity is of no use.

  Args:
    prompted: of `prepare`.
    state: of `start`, `prefill` or `advance`; it is used up.
    keys_B: one random key a row.
    kept: codes that are not drawn.
    num_frames: T, how many frames.
  """
  chex.assert_shape(keys_B, (prompted.num_rows,))
  in_axes = (Prompted.axes(), State.axes(), ROWS, kept and Kept(ROWS, P()))
  run = meshes.on_devices(
    functools.partial(_advance, num_frames),
    prompted.num_rows,
    in_axes,
    (State.axes(), ROWS),
  )
  return run(prompted, state, keys_B, kept)


def _advance(
  num_frames: int,
  prompted: Prompted,
  state: State,
  keys_B: jax.Array,
  kept: Kept | None,
) -> tuple[State, Samples]:
  """`advance` of the rows, with the experts, of this device."""
  config, method = prompted.weights.config, prompted.method
  held = len(prompted.weights.sos_KxD)
  draw = functools.partial(_draw, config, method, held)

  def frame(
    state: State, kept_BxN: jax.Array | None
  ) -> tuple[State, tuple[jax.Array, jax.Array]]:
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys_B, state.frame)
    uniform_BxN = methods.uniforms(keys, config.num_codebooks)
    drawn: list[tuple[jax.Array, jax.Array]] = []

    def choose(n: int, logits_IxBxV: jax.Array) -> jax.Array:
      given_B = None
      if kept is not None and kept_BxN is not None:
        given_B = jnp.where(n < kept.num_codebooks, kept_BxN[:, n], -1)
      drawn.append(draw(n, logits_IxBxV, uniform_BxN[:, n], given_B))
      return drawn[-1][0]

    state = step(prompted, state, choose)
    codes, chosen = zip(*drawn, strict=True)
    return state, (jnp.stack(codes, 1), jnp.stack(chosen, 1))

  kept_TxBxN = None if kept is None else jnp.moveaxis(kept.codes_BxNxT, 2, 0)
  state, drawn = jax.lax.scan(frame, state, kept_TxBxN, length=num_frames)
  to_rows = functools.partial(jnp.transpose, axes=(1, 2, 0))
  return state, Samples(*map(to_rows, drawn))


def _draw(
  config: ExpertConfig,
  method: SamplingConfig,
  held: int,
  n: int,
  logits_IxBxV: jax.Array,
  uniform_B: jax.Array,
  kept_B: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
  """Codes [B] of codebook n, drawn or kept, and their log-probs."""
  logits = logits_IxBxV[0]
  if method.guidance is not None:
    logits = methods.guide(logits, logits_IxBxV[1], method.guidance)
  # Whole on every device: to draw takes dozens of sums over V.
  logits = meshes.constrain(logits, None, None)
  log_probs_BxV = methods.log_probs(logits, method)
  codes_B = methods.draw(log_probs_BxV, uniform_B)
  if kept_B is not None:
    codes_B = jnp.where(kept_B < 0, codes_B, kept_B)
  chosen = jnp.take_along_axis(log_probs_BxV, codes_B[:, None], 1)[:, 0]
  if held < config.num_experts:
    holder = n // config.codebooks_per_expert // held
    codes_B, chosen = meshes.from_experts_of(holder, (codes_B, chosen))
  return codes_B, chosen


def step(prompted: Prompted, state: State, choose: Choose) -> State:
  """One frame: the temporal paths together, then codes, expert by expert."""
  weights = prompted.weights
  x_KxIxBxD, caches = _temporal(prompted, state)
  entries_KxBx8: list[jax.Array] = []
  for turn in range(weights.config.num_experts):
    k = turn % len(x_KxIxBxD)
    _depth(prompted, k, x_KxIxBxD[k], entries_KxBx8, choose)
  x_KxBxD = jax.vmap(embed)(
    weights.folded_KxNx8xD, weights.offset_KxNxD, jnp.stack(entries_KxBx8, 2)
  ).astype(state.x_KxIxBxD.dtype)
  return State(
    frame=state.frame + 1,
    position=state.position + 1,
    x_KxIxBxD=jnp.broadcast_to(x_KxBxD[:, None], state.x_KxIxBxD.shape),
    caches=caches,
  )


def _temporal(
  prompted: Prompted, state: State
) -> tuple[jax.Array, list[Blocks]]:
  """What the temporal paths say about the next frame, [K, I, B, D]."""
  config = prompted.weights.config
  block = TemporalBlock(config, parent=None)

  def row(
    params: Any,
    x_D: jax.Array,
    cache: Blocks,
    cross: Cache,
    mask_P: jax.Array,
  ) -> Any:
    return block.apply(
      {"params": params}, x_D, cache, cross, mask_P, state.position,
      method="step",
    )  # fmt: skip

  shape = state.x_KxIxBxD.shape
  rows = _over_rows(row, shape[1] * shape[2])
  x, caches = state.x_KxIxBxD, []
  for params, cache, cross in zip(
    prompted.weights.temporal, state.caches, prompted.cross, strict=True
  ):
    x, cache = rows(params, x, cache, cross, prompted.mask_IxBxP)
    caches.append(jax.tree.map(constrain_cache, cache))
  norm = jax.vmap(functools.partial(_norm, config))
  return norm(prompted.weights.temporal_norm, x), caches


def _over_rows(row: Callable, count: int) -> Callable:
  """`row` for every expert and the rows I x B.

  One row is no axis: on a CPU, XLA would copy caches that had an axis of size
  one every frame.
  """
  single = count == 1
  over = row if single else jax.vmap(row, in_axes=(None, 0, 0, 0, 0))
  over = jax.vmap(over, in_axes=(0, 0, 0, 0, None))

  def join(x: jax.Array, before: int) -> jax.Array:
    rows = () if single else (count,)
    return x.reshape(*x.shape[:before], *rows, *x.shape[before + 2 :])

  def rows(
    params: Any, x: jax.Array, cache: Blocks, cross: Cache, mask: jax.Array
  ) -> Any:
    joined = jax.tree.map(lambda x: join(x, 1), (x, cache, cross))
    new = over(params, *joined, join(mask, 0))
    return jax.tree.map(lambda x, old: x.reshape(old.shape), new, (x, cache))

  return rows


def _depth(
  prompted: Prompted,
  k: int,
  x_IxBxD: jax.Array,
  entries_KxBx8: list[jax.Array],
  choose: Choose,
) -> None:
  """Draws expert k's codes of this frame; appends their entries."""
  weights = prompted.weights
  config = weights.config
  # Entry k of its list has an axis over the devices that share the experts.
  layers, norm, heads = jax.tree.map(
    lambda x: jnp.squeeze(x, 0),
    (weights.depth[k], weights.depth_norm[k], weights.heads[k]),
  )
  block = DepthBlock(config, parent=None)
  past: list[Any] = [None] * len(layers)
  new = [x_IxBxD]
  for head in heads:
    n = len(entries_KxBx8)
    lower = prompted.summary_KxIxBxD[k]
    if n:
      lower_BxNx8 = jnp.stack([e[k] for e in entries_KxBx8], 1)
      lower_BxD = embed(
        weights.folded_KxNx8xD[k, :n],
        weights.offset_KxNxD[k, :n],
        lower_BxNx8,
      )
      lower = lower + lower_BxD.astype(x_IxBxD.dtype)
    x = jnp.stack([*new, lower])
    x = x.reshape(len(x), -1, x.shape[-1])
    for i, params in enumerate(layers):
      last = 1 if i + 1 == len(layers) else len(x)
      out: Any = block.apply({"params": params}, x, None, last, past[i])
      x, past[i] = out
    logits = linear(_norm(config, norm, x[-1]), head)
    codes_B = choose(n, logits.reshape(*x_IxBxD.shape[:2], -1))
    entries_KxBx8.append(weights.books_KxNxVx8[:, n, codes_B])
    new = []


def _norm(config: ExpertConfig, params: Any, x: jax.Array) -> Any:
  return RMSNorm(config.norm_eps, parent=None).apply({"params": params}, x)
