"""THE sampler: one jitted scan over frames, all experts, a batch of prompts.

Within a frame the experts' temporal paths depend on earlier frames only, so
they run as one batched computation; only their small depth paths take turns
(docs/design.md, Paths). What the prompt fixes (keys and values of the
cross-attention, its summary) is computed once, and so is the map from codes to
width.

Over a mesh every device has its own rows and its own experts, and K and B
below count those. All devices make every turn; what is drawn by the one whose
expert's turn it is, goes to all. Heads are left to the partitioner.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from siren_jax.common import mesh as meshes
from siren_jax.experts.attention import Blocks, Cache, cache_blocks
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.ensemble import null_prompt
from siren_jax.experts.execution import Execution
from siren_jax.experts.expert import DepthBlock, ResidualExpert, TemporalBlock
from siren_jax.experts.layers import RMSNorm, linear
from siren_jax.sampling import methods
from siren_jax.sampling.config import SamplingConfig

# Draws codebook n's code of every row, [B], from its logits [B, V].
Choose = Callable[[int, jax.Array], jax.Array]


class Samples(NamedTuple):
  """What `sample` returns.

  Attributes:
    codes_BxNxT: int32.
    log_probs_BxNxT: of each code, under the method that drew it.
  """

  codes_BxNxT: jax.Array
  log_probs_BxNxT: jax.Array


@flax.struct.dataclass
class Prompted:
  """The experts, taken apart, with all that no frame changes.

  Weights are cut out of their stacks here: in the scan they would be copied
  every frame.

  Attributes:
    temporal: parameters of each layer, leading axis K.
    temporal_norm: of the last norm, leading axis K.
    depth: parameters of each expert's layers. depth_norm, heads: likewise.
    books_KxNxVx8: codebook entries.
    folded_KxNx8xD, offset_KxNxD: the map from entries to width.
    sos_KxD: temporal input of the first frame.
    cross: for each layer, keys and values [K, B, H, P, A].
    mask_BxP: prompt mask.
    summary_KxBxD: prompt summary.
  """

  temporal: list[Any]
  temporal_norm: Any
  depth: list[list[Any]]
  depth_norm: list[Any]
  heads: list[list[jax.Array]]
  books_KxNxVx8: jax.Array
  folded_KxNx8xD: jax.Array
  offset_KxNxD: jax.Array
  sos_KxD: jax.Array
  cross: list[Cache]
  mask_BxP: jax.Array
  summary_KxBxD: jax.Array


@flax.struct.dataclass
class State:
  """What a frame hands to the next.

  Attributes:
    frame: int32 scalar, frames made.
    x_KxBxD: temporal input.
    caches: for each layer, blocks of keys and values [K, B, J, I, A] in I
      slots; without B for a batch of one (see `_over_rows`).
  """

  frame: jax.Array
  x_KxBxD: jax.Array
  caches: list[Blocks]


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
  """Draws codes for every prompt.

  Args:
    params: stacked variables of `experts.init` or `weights`.
    keys_B: one random key a row; a row depends on nothing but its own prompt
      and key.
    num_frames: T, code frames to make.
    execution: only its `dtype` matters here.
  """
  batch = prompt_BxPxC.shape[0]
  chex.assert_shape(prompt_BxPxC, (batch, None, config.prompt_dim))
  chex.assert_shape(prompt_mask_BxP, prompt_BxPxC.shape[:2])
  chex.assert_shape(keys_B, (batch,))
  return meshes.by_rows_and_experts(
    functools.partial(_sample, config, execution, num_frames),
    nn.unbox(params), sampling, prompt_BxPxC, prompt_mask_BxP, keys_B,
  )  # fmt: skip


def _sample(
  config: ExpertConfig,
  execution: Execution,
  num_frames: int,
  params: Mapping[str, Any],
  sampling: SamplingConfig,
  prompt_BxPxC: jax.Array,
  prompt_mask_BxP: jax.Array,
  keys_B: jax.Array,
) -> Samples:
  """`sample` of the rows, with the experts, of this device."""
  held = len(jax.tree.leaves(params)[0])
  guidance = sampling.guidance
  if guidance is not None:
    null, null_mask = null_prompt(prompt_BxPxC, prompt_mask_BxP)
    prompt_BxPxC = jnp.concatenate([prompt_BxPxC, null])
    prompt_mask_BxP = jnp.concatenate([prompt_mask_BxP, null_mask])
  prompted = prepare(params, config, prompt_BxPxC, prompt_mask_BxP, execution)

  def frame(state: State, _: None) -> tuple[State, tuple[jax.Array, jax.Array]]:
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys_B, state.frame)
    uniform_BxN = methods.uniforms(keys, config.num_codebooks)
    drawn: list[tuple[jax.Array, jax.Array]] = []

    def choose(n: int, logits: jax.Array) -> jax.Array:
      if guidance is not None:
        with_prompt, without = jnp.split(logits, 2)
        logits = methods.guide(with_prompt, without, guidance)
      # Whole on every device: to draw takes dozens of sums over V.
      logits = meshes.constrain(logits, None, None)
      log_probs_BxV = methods.log_probs(logits, sampling)
      codes_B = methods.draw(log_probs_BxV, uniform_BxN[:, n])
      chosen = jnp.take_along_axis(log_probs_BxV, codes_B[:, None], 1)[:, 0]
      if held < config.num_experts:
        holder = n // config.codebooks_per_expert // held
        codes_B, chosen = meshes.from_experts_of(holder, (codes_B, chosen))
      drawn.append((codes_B, chosen))
      return codes_B if guidance is None else jnp.tile(codes_B, 2)

    state = step(prompted, config, state, choose)
    codes, chosen = zip(*drawn, strict=True)
    return state, (jnp.stack(codes, 1), jnp.stack(chosen, 1))

  state = start(prompted, config, num_frames)
  _, (codes_TxBxN, chosen_TxBxN) = jax.lax.scan(frame, state, length=num_frames)
  to_rows = functools.partial(jnp.transpose, axes=(1, 2, 0))
  return Samples(to_rows(codes_TxBxN), to_rows(chosen_TxBxN))


def prepare(
  params: Mapping[str, Any],
  config: ExpertConfig,
  prompt_BxPxC: jax.Array,
  prompt_mask_BxP: jax.Array,
  execution: Execution = Execution(),
) -> Prompted:
  """Computes everything that no frame changes."""
  variables, params = params, params["params"]
  prompt_BxPxC = prompt_BxPxC.astype(execution.dtype)
  block = TemporalBlock(config, parent=None)

  def of_prompt(variables: Any) -> tuple[Any, jax.Array]:
    expert = ResidualExpert(config).bind(variables)
    summary_BxD = expert.summarise(prompt_BxPxC, prompt_mask_BxP)
    return expert.embedding.folded(), summary_BxD

  def keys_values(params: Any) -> Any:
    kept = functools.partial(block.apply, method="prompt_cache")
    return jax.vmap(lambda prompt: kept({"params": params}, prompt))(
      prompt_BxPxC
    )

  (folded, offset), summary = jax.vmap(of_prompt)(variables)
  temporal = _unstack(params["temporal"], axis=1)
  return Prompted(
    temporal=temporal,
    temporal_norm=params["temporal_norm"],
    depth=[_unstack(p) for p in _unstack(params["depth"])],
    depth_norm=_unstack(params["depth_norm"]),
    heads=[_unstack(p) for p in _unstack(params["heads"])],
    books_KxNxVx8=variables["frozen"]["embedding"]["codebook_NxVx8"],
    folded_KxNx8xD=folded,
    offset_KxNxD=offset,
    sos_KxD=params["sos"][:, 0],
    cross=[jax.vmap(keys_values)(layer) for layer in temporal],
    mask_BxP=prompt_mask_BxP,
    summary_KxBxD=summary,
  )


def start(prompted: Prompted, config: ExpertConfig, num_frames: int) -> State:
  """State before the first frame, with room for `num_frames`."""
  experts, batch, width = prompted.summary_KxBxD.shape
  dtype = prompted.summary_KxBxD.dtype
  rows, names = ((batch,), (None,)) if batch > 1 else ((), ())

  def empty(slots: int) -> jax.Array:
    shape = (experts, *rows, config.kv_heads, slots, config.head_dim)
    return meshes.constrain(
      jnp.zeros(shape, dtype), None, *names, "kv_heads", None, None
    )

  blocks = [(empty(slots), empty(slots)) for slots in cache_blocks(num_frames)]
  sos = jnp.broadcast_to(prompted.sos_KxD[:, None], (experts, batch, width))
  return State(
    frame=jnp.int32(0),
    x_KxBxD=sos.astype(dtype),
    caches=[blocks for _ in prompted.temporal],
  )


def step(
  prompted: Prompted, config: ExpertConfig, state: State, choose: Choose
) -> State:
  """One frame: the temporal paths together, then codes, expert by expert."""
  x_KxBxD, caches = _temporal(prompted, config, state)
  entries_KxBx8: list[jax.Array] = []
  for turn in range(config.num_experts):
    k = turn % len(x_KxBxD)
    _depth(prompted, config, k, x_KxBxD[k], entries_KxBx8, choose)
  x_KxBxD = jax.vmap(_embed)(
    prompted.folded_KxNx8xD, prompted.offset_KxNxD, jnp.stack(entries_KxBx8, 2)
  )
  return State(
    frame=state.frame + 1,
    x_KxBxD=x_KxBxD.astype(state.x_KxBxD.dtype),
    caches=caches,
  )


def _temporal(
  prompted: Prompted, config: ExpertConfig, state: State
) -> tuple[jax.Array, list[Blocks]]:
  """What the temporal paths say about the next frame, [K, B, D]."""
  block = TemporalBlock(config, parent=None)

  def row(
    params: Any,
    x_D: jax.Array,
    cache: Blocks,
    cross: Cache,
    mask_P: jax.Array,
  ) -> Any:
    return block.apply(
      {"params": params}, x_D, cache, cross, mask_P, state.frame, method="step"
    )

  rows = _over_rows(row, state.x_KxBxD.shape[1])
  x_KxBxD, caches = state.x_KxBxD, []
  for params, cache, cross in zip(
    prompted.temporal, state.caches, prompted.cross, strict=True
  ):
    x_KxBxD, cache = rows(params, x_KxBxD, cache, cross, prompted.mask_BxP)
    caches.append(cache)
  norm = jax.vmap(functools.partial(_norm, config))
  return norm(prompted.temporal_norm, x_KxBxD), caches


def _over_rows(row: Callable, batch: int) -> Callable:
  """`row` for every expert and row of the batch.

  A batch of one is no axis: on a CPU, XLA would copy caches that had an axis
  of size one every frame.
  """
  if batch > 1:
    return jax.vmap(
      jax.vmap(row, in_axes=(None, 0, 0, 0, 0)), in_axes=(0, 0, 0, 0, None)
    )

  def single(
    params: Any, x: jax.Array, cache: Blocks, cross: Cache, mask: jax.Array
  ) -> tuple[jax.Array, Blocks]:
    x, cross = jax.tree.map(lambda a: a[:, 0], (x, cross))
    over_experts = jax.vmap(row, in_axes=(0, 0, 0, 0, None))
    x, cache = over_experts(params, x, cache, cross, mask[0])
    return x[:, None], cache

  return single


def _depth(
  prompted: Prompted,
  config: ExpertConfig,
  k: int,
  x_BxD: jax.Array,
  entries_KxBx8: list[jax.Array],
  choose: Choose,
) -> None:
  """Draws expert k's codes of this frame; appends their entries."""
  block = DepthBlock(config, parent=None)
  layers = prompted.depth[k]
  past: list[Any] = [None] * len(layers)
  new = [x_BxD]
  for head in prompted.heads[k]:
    n = len(entries_KxBx8)
    lower_BxD = prompted.summary_KxBxD[k]
    if n:
      lower_BxNx8 = jnp.stack([e[k] for e in entries_KxBx8], 1)
      lower_BxD = lower_BxD + _embed(
        prompted.folded_KxNx8xD[k, :n],
        prompted.offset_KxNxD[k, :n],
        lower_BxNx8,
      ).astype(x_BxD.dtype)
    x = jnp.stack([*new, lower_BxD])
    for i, params in enumerate(layers):
      last = 1 if i + 1 == len(layers) else len(x)
      out: Any = block.apply({"params": params}, x, None, last, past[i])
      x, past[i] = out
    logits_BxV = linear(_norm(config, prompted.depth_norm[k], x[-1]), head)
    codes_B = choose(n, logits_BxV)
    entries_KxBx8.append(prompted.books_KxNxVx8[:, n, codes_B])
    new = []


def _embed(
  folded_Nx8xD: jax.Array, offset_NxD: jax.Array, entries_BxNx8: jax.Array
) -> jax.Array:
  """Sum of the embeddings of the first codebooks' entries, [B, D]."""
  width = folded_Nx8xD.shape[-1]
  flat = entries_BxNx8.reshape(len(entries_BxNx8), -1)
  return flat @ folded_Nx8xD.reshape(-1, width) + jnp.sum(offset_NxD, 0)


def _norm(config: ExpertConfig, params: Any, x: jax.Array) -> Any:
  return RMSNorm(config.norm_eps, parent=None).apply({"params": params}, x)


def _unstack(tree: Any, axis: int = 0) -> list[Any]:
  count = jax.tree.leaves(tree)[0].shape[axis]
  return [
    jax.tree.map(
      lambda x, i=i: jax.lax.index_in_dim(x, i, axis, keepdims=False), tree
    )
    for i in range(count)
  ]
