"""THE sampler: one jitted scan over frames, all experts, a batch of prompts.

Within a frame the experts' temporal paths depend on earlier frames only, so
they run as one batched computation; only their small depth paths take turns
(docs/design.md, Paths). All devices of a mesh make every turn; what is drawn
by the one whose expert's turn it is, goes to all.

Axis R: the rows of a state, I x B of them.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from siren_jax.common import mesh as meshes
from siren_jax.common import tuning
from siren_jax.experts.attention import Blocks, Cache
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.execution import Execution
from siren_jax.sampling import frame, methods
from siren_jax.sampling.config import SamplingConfig
from siren_jax.sampling.gpu import frame as gpu_frame
from siren_jax.sampling.gpu import packing
from siren_jax.sampling.state import (
  ROWS,
  Prompted,
  State,
  Weights,
  constrain_cache,
  embed,
  prepare,
  prepare_weights,
  start,
)

# Frames of a call of `advance`; every call copies the caches once or twice.
CHUNK = 25

# Draws codebook n's code of every row, [R], from its logits [R, V].
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

  codes_BxNxT: jax.Array | np.ndarray
  num_codebooks: jax.Array | np.integer


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
  of_kept: Any = kept and (ROWS, P())
  in_axes = (Prompted.axes(), State.axes(), ROWS, of_kept and Kept(*of_kept))
  run = meshes.on_devices(
    functools.partial(_advance, num_frames),
    prompted.num_rows,
    in_axes,
    (State.axes(), ROWS),
  )
  return run(prompted, state, keys_B, kept)


class _Prompts(NamedTuple):
  """What frames read of `Prompted`, with axes I and B joined to R.

  `tuning` says whether a single row is an axis of `cross`, `mask` and caches.

  Attributes:
    cross: for each layer, keys and values [K, R, H, P, A].
    mask: [R, P].
    summary_KxRxD: prompt summary.
  """

  cross: list[Cache]
  mask: jax.Array
  summary_KxRxD: jax.Array


class _Frame(NamedTuple):
  """`State` with axes I and B joined to R."""

  frame: jax.Array
  position: jax.Array
  x_KxRxD: jax.Array
  caches: list[Blocks]


def _join(prompted: Prompted, state: State) -> tuple[_Prompts, _Frame]:
  experts, ways, batch, width = state.x_KxIxBxD.shape
  is_axis = ways * batch > 1 or tuning.current().single_row_axis
  rows = (ways * batch,) if is_axis else ()

  def join(x: jax.Array) -> jax.Array:
    return x.reshape(experts, *rows, *x.shape[3:])

  prompts = _Prompts(
    jax.tree.map(join, prompted.cross),
    prompted.mask_IxBxP.reshape(*rows, -1),
    prompted.summary_KxIxBxD.reshape(experts, -1, width),
  )
  x_KxRxD = state.x_KxIxBxD.reshape(experts, -1, width)
  caches = jax.tree.map(join, state.caches)
  return prompts, _Frame(state.frame, state.position, x_KxRxD, caches)


def _split(last: _Frame, first: State) -> State:
  """`last` with the axes of the state before it."""
  caches = jax.tree.map(
    lambda new, old: constrain_cache(new.reshape(old.shape)),
    last.caches,
    first.caches,
  )
  x_KxIxBxD = last.x_KxRxD.reshape(first.x_KxIxBxD.shape)
  return State(last.frame, last.position, x_KxIxBxD, caches)


def _advance(
  num_frames: int,
  prompted: Prompted,
  state: State,
  keys_B: jax.Array,
  kept: Kept | None,
) -> tuple[State, Samples]:
  """`advance` of the rows, with the experts, of this device."""
  weights, method = prompted.weights, prompted.method
  rows = state.x_KxIxBxD.shape[1] * state.x_KxIxBxD.shape[2]
  if not packing.uses_kernels(weights.config, rows):
    weights = weights.unpacked()
  prompts, first = _join(prompted, state)
  draw = functools.partial(_draw, weights, method)

  def uniforms(frame: jax.Array) -> jax.Array:
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys_B, frame)
    return methods.uniforms(keys, weights.config.num_codebooks)

  def next_frame(
    state: _Frame, inputs: tuple[jax.Array, jax.Array | None]
  ) -> tuple[_Frame, tuple[jax.Array, jax.Array]]:
    uniform_BxN, kept_BxN = inputs
    drawn: list[tuple[jax.Array, jax.Array]] = []

    def choose(n: int, logits_RxV: jax.Array) -> jax.Array:
      given_B = None
      if kept is not None and kept_BxN is not None:
        given_B = jnp.where(n < kept.num_codebooks, kept_BxN[:, n], -1)
      drawn.append(draw(n, logits_RxV, uniform_BxN[:, n], given_B))
      return jnp.tile(drawn[-1][0], 1 if method.guidance is None else 2)

    state = _step(weights, prompts, state, choose)
    codes, chosen = zip(*drawn, strict=True)
    return state, (jnp.stack(codes, 1), jnp.stack(chosen, 1))

  kept_TxBxN = None if kept is None else jnp.moveaxis(kept.codes_BxNxT, 2, 0)
  uniform_TxBxN = jax.vmap(uniforms)(state.frame + jnp.arange(num_frames))
  last, drawn = jax.lax.scan(next_frame, first, (uniform_TxBxN, kept_TxBxN))
  to_rows = functools.partial(jnp.transpose, axes=(1, 2, 0))
  return _split(last, state), Samples(*map(to_rows, drawn))


def _draw(
  weights: Weights,
  method: SamplingConfig,
  n: int,
  logits_RxV: jax.Array,
  uniform_B: jax.Array,
  given_B: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
  """Codes [B] of codebook n, drawn or given (not -1), and their log-probs."""
  logits = logits_RxV
  if method.guidance is not None:
    with_prompt, without = jnp.split(logits, 2)
    logits = methods.guide(with_prompt, without, method.guidance)
  # Whole on every device: to draw takes dozens of sums over V.
  logits = meshes.constrain(logits, None, None)
  log_probs_BxV = methods.log_probs(logits, method)
  codes_B = methods.draw(log_probs_BxV, uniform_B)
  if given_B is not None:
    codes_B = jnp.where(given_B < 0, codes_B, given_B)
  chosen = jnp.take_along_axis(log_probs_BxV, codes_B[:, None], 1)[:, 0]
  held = len(weights.sos_KxD)
  if held < weights.config.num_experts:
    holder = n // weights.config.codebooks_per_expert // held
    codes_B, chosen = meshes.from_experts_of(holder, (codes_B, chosen))
  return codes_B, chosen


def _step(
  weights: Weights, prompts: _Prompts, state: _Frame, choose: Choose
) -> _Frame:
  """One frame: the temporal paths together, then codes, expert by expert."""
  config, module = weights.config, gpu_frame if weights.packed else frame
  x_KxRxD, caches = module.temporal(
    config, weights.temporal, state.x_KxRxD, state.position, state.caches,
    prompts.cross, prompts.mask,
  )  # fmt: skip
  x_KxRxD = frame.norms(config, weights.temporal_norm, x_KxRxD)
  entries_KxRx8: list[jax.Array] = []
  for turn in range(config.num_experts):
    k = turn % len(x_KxRxD)
    inputs = x_KxRxD[k], prompts.summary_KxRxD[k]
    _depth(weights, k, *inputs, entries_KxRx8, choose)
  x_KxRxD = jax.vmap(embed)(
    weights.folded_KxNx8xD, weights.offset_KxNxD, jnp.stack(entries_KxRx8, 2)
  )
  return _Frame(
    frame=state.frame + 1,
    position=state.position + 1,
    x_KxRxD=x_KxRxD.astype(state.x_KxRxD.dtype),
    caches=caches,
  )


def _depth(
  weights: Weights,
  k: int,
  x_RxD: jax.Array,
  summary_RxD: jax.Array,
  entries_KxRx8: list[jax.Array],
  choose: Choose,
) -> None:
  """Draws expert k's codes of this frame; appends their entries."""
  module = gpu_frame if weights.packed else frame
  new, past = [x_RxD], list[Any]()
  for head in weights.heads[k]:
    n = len(entries_KxRx8)
    lower_RxD = summary_RxD
    if n:
      lower_RxNx8 = jnp.stack([e[k] for e in entries_KxRx8], 1)
      lower_RxD = lower_RxD + embed(
        weights.folded_KxNx8xD[k, :n],
        weights.offset_KxNxD[k, :n],
        lower_RxNx8,
      ).astype(x_RxD.dtype)
    logits_RxV, past = module.depth(
      weights.config, weights.depth[k], weights.depth_norm[k], head,
      jnp.stack([*new, lower_RxD]), past,
    )  # fmt: skip
    codes_R = choose(n, logits_RxV)
    entries_KxRx8.append(weights.books_KxNxVx8[:, n, codes_R])
    new = []
