"""THE sampler: one jitted scan over frames, all experts, a batch of prompts.

Within a frame the experts' temporal paths depend on earlier frames only, so
they run as one batched computation; only their small depth paths run in
sequence (docs/design.md, Paths). All devices of a mesh run every step; codes
drawn by the device that has the current expert are sent to all.

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

# Frames per call of `advance`; each call copies the caches once or twice.
CHUNK = 25

# Draws codebook n's code of every row, [R], from its logits [R, V].
Choose = Callable[[int, jax.Array], jax.Array]


class Samples(NamedTuple):
  """Result of `sample` and `advance`.

  Attributes:
    codes_BxNxT: int32.
    log_probs_BxNxT: of each code, under the sampling method.
  """

  codes_BxNxT: jax.Array
  log_probs_BxNxT: jax.Array


class Kept(NamedTuple):
  """Codes that are given rather than drawn.

  Attributes:
    codes_BxNxT: of the next T frames.
    num_codebooks: int32 scalar, number of leading codebooks that are given.
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
    params: stacked variables from `experts.init` or `weights`.
    keys_B: one random key per row; a row depends on its own prompt and key
      only.
    num_frames: T, number of code frames.
    execution: only its `dtype` is used.
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
  """Draws the next frames of each row.

  A frame's random numbers depend on its row's key and its frame number only,
  not on the number of frames per call or the batch. Frames beyond the state's
  capacity are invalid.

  Args:
    prompted: from `prepare`.
    state: from `start`, `prefill` or `advance`; donated.
    keys_B: one random key per row.
    kept: codes that are given rather than drawn.
    num_frames: T, number of frames.
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
  """The arrays of `Prompted`, with axes I and B merged to R.

  `tuning` says whether `cross`, `mask` and caches keep the axis of a single
  row.

  Attributes:
    cross: for each layer, keys and values [K, R, H, P, A].
    mask: [R, P].
    summary_KxRxD: prompt summary.
  """

  cross: list[Cache]
  mask: jax.Array
  summary_KxRxD: jax.Array


class _Frame(NamedTuple):
  """`State` with axes I and B merged to R."""

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
  """`last` with the axes of the first state."""
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
  """`advance` for the rows and experts of this device."""
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
  """Codes [B] of codebook n, given or, if -1, drawn, and their log-probs."""
  logits = logits_RxV
  if method.guidance is not None:
    with_prompt, without = jnp.split(logits, 2)
    logits = methods.guide(with_prompt, without, method.guidance)
  # Replicated on every device: drawing takes dozens of sums over V.
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
  """One frame: temporal paths together, then codes, expert by expert."""
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
