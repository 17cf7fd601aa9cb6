"""The sampler's state before a frame is drawn.

  weights = prepare_weights(params, config)          once per model
  prompted = prepare(weights, method, prompt, mask)  once per prompt
  state = start(prompted, capacity)                  before the first frame
  state = prefill(prompted, state, codes)            after given frames

`loop.advance` then draws frames. All are pure functions of arrays, jitted or
traced; states can be kept, copied and continued.

Over a mesh, each device has its own rows and experts, and K and B count those;
heads are left to the partitioner. Axis I, of size 1 or 2: with the prompt and,
with guidance, without it.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import chex
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from siren_jax.common import mesh as meshes
from siren_jax.common.precision import exact
from siren_jax.experts.attention import (
  Blocks,
  Cache,
  cache_blocks,
)
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.ensemble import null_prompt
from siren_jax.experts.execution import Execution
from siren_jax.experts.expert import ResidualExpert, TemporalBlock, summarise
from siren_jax.sampling.config import SamplingConfig
from siren_jax.sampling.gpu import packing

# Logical names of leading axes, see `meshes.on_devices`.
EXPERTS = P("expert")
ROWS = P("batch")
EXPERTS_AND_ROWS = P("expert", None, "batch")


@flax.struct.dataclass
class Weights:
  """The experts' weights, unstacked and prepared for sampling.

  Weights are sliced out of their stacks, because a loop over frames would copy
  them each time. Arrays of one expert still have a leading axis, over the
  devices that divide the experts: list entry j is the j-th expert of each.

  Attributes:
    temporal: parameters of each layer, leading axis K.
    temporal_norm: of the last norm, leading axis K.
    depth: parameters of each layer of each expert. depth_norm, heads: likewise.
    summary: of the map from prompts to their summaries, leading axis K.
    books_KxNxVx8: codebook entries.
    folded_KxNx8xD, offset_KxNxD: the map from entries to width.
    sos_KxD: temporal input of the first frame.
    config: the experts' shapes. execution: only its `dtype` is used.
    packed: whether layers and heads are in the layout of `gpu.packing`.
  """

  temporal: list[Any]
  temporal_norm: Any
  depth: list[list[Any]]
  depth_norm: list[Any]
  heads: list[list[jax.Array]]
  summary: Any
  books_KxNxVx8: jax.Array
  folded_KxNx8xD: jax.Array
  offset_KxNxD: jax.Array
  sos_KxD: jax.Array
  config: ExpertConfig = flax.struct.field(pytree_node=False)
  execution: Execution = flax.struct.field(pytree_node=False)
  packed: bool = flax.struct.field(pytree_node=False, default=False)

  def unpacked(self) -> "Weights":
    """The same weights in the shapes used in training."""
    if not self.packed:
      return self
    dtype = self.execution.activations
    unpack = functools.partial(
      packing.unpacked, config=self.config, dtype=dtype
    )
    head = functools.partial(packing.unpacked_kernel, dtype=dtype)
    return dataclasses.replace(
      self,
      temporal=list(map(unpack, self.temporal)),
      depth=[list(map(unpack, layers)) for layers in self.depth],
      heads=[list(map(head, heads)) for heads in self.heads],
      packed=False,
    )


@flax.struct.dataclass
class Prompted:
  """The experts, and everything that depends on the prompts only.

  Attributes:
    weights: the experts.
    method: how codes are drawn.
    cross: for each layer, keys and values [K, I, B, H, P, A].
    mask_IxBxP: prompt mask.
    summary_KxIxBxD: prompt summary.
  """

  weights: Weights
  method: SamplingConfig
  cross: list[Cache]
  mask_IxBxP: jax.Array
  summary_KxIxBxD: jax.Array

  @property
  def num_rows(self) -> int:
    """B."""
    return self.mask_IxBxP.shape[1]

  @classmethod
  def axes(cls) -> "Prompted":
    """Logical names of the leading axes."""
    rows: Any = EXPERTS_AND_ROWS
    names: Any = EXPERTS, P(), rows, P(None, "batch"), rows
    return cls(*names)

  def take(self, rows_B: jax.Array) -> "Prompted":
    """The prompts of these rows, which may repeat."""
    return dataclasses.replace(
      self,
      cross=jax.tree.map(lambda x: x[:, :, rows_B], self.cross),
      mask_IxBxP=self.mask_IxBxP[:, rows_B],
      summary_KxIxBxD=self.summary_KxIxBxD[:, :, rows_B],
    )


@flax.struct.dataclass
class State:
  """State passed from frame to frame.

  Attributes:
    frame: int32 scalar, number of the next frame in the sound.
    position: int32 scalar, its position in the window: number of cached frames.
    x_KxIxBxD: temporal input.
    caches: for each layer, blocks of keys and values [K, I, B, J, W, A] of W
      frames each.
  """

  frame: jax.Array
  position: jax.Array
  x_KxIxBxD: jax.Array
  caches: list[Blocks]

  @classmethod
  def axes(cls) -> "State":
    """Logical names of the leading axes."""
    names: Any = P(), P(), EXPERTS_AND_ROWS, EXPERTS_AND_ROWS
    return cls(*names)

  def take(self, rows_B: jax.Array) -> "State":
    """The state of these rows, which may repeat."""
    x, caches = jax.tree.map(
      lambda x: x[:, :, rows_B], (self.x_KxIxBxD, self.caches)
    )
    return dataclasses.replace(self, x_KxIxBxD=x, caches=caches)


@functools.partial(jax.jit, static_argnames=("config", "execution"))
def prepare_weights(
  params: Mapping[str, Any],
  config: ExpertConfig,
  execution: Execution = Execution(),
) -> Weights:
  """Unstacks the experts' weights for sampling.

  Args:
    params: stacked variables from `experts.init` or `weights`.
    config: their shapes.
    execution: only its `dtype` is used.
  """

  def prepare(variables: Mapping[str, Any]) -> Weights:
    params = _as_used(variables["params"], execution.activations)

    def fold(variables: Any) -> tuple[jax.Array, jax.Array]:
      return ResidualExpert(config).bind(variables).embedding.folded()

    folded, offset = jax.vmap(fold)(variables)
    int8 = execution.dtype == "int8"
    packs = int8 or packing.uses_kernels(config)
    block = head = lambda tree: tree
    if packs:
      block = functools.partial(packing.packed, int8=int8)
      head = functools.partial(packing.packed_kernel, int8=int8)

    def depth(stacked: Any, change: Callable) -> list[list[Any]]:
      return [list(map(change, _unstack(p, axis=1))) for p in _each(stacked)]

    return Weights(
      temporal=list(map(block, _unstack(params["temporal"], axis=1))),
      temporal_norm=params["temporal_norm"],
      depth=depth(params["depth"], block),
      depth_norm=_each(params["depth_norm"]),
      heads=depth(params["heads"], head),
      summary={k: params[k] for k in ("summary", "summary_bias")},
      books_KxNxVx8=variables["frozen"]["embedding"]["codebook_NxVx8"],
      folded_KxNx8xD=folded,
      offset_KxNxD=offset,
      sos_KxD=params["sos"][:, 0],
      config=config,
      execution=execution,
      packed=packs,
    )

  run = meshes.on_devices(prepare, 0, (EXPERTS,), EXPERTS)
  return run(nn.unbox(params))


def prepare(
  weights: Weights,
  method: SamplingConfig,
  prompt_BxPxC: jax.Array,
  prompt_mask_BxP: jax.Array,
) -> Prompted:
  """Computes everything that depends on the prompts only.

  Args:
    weights: from `prepare_weights`.
    method: how codes will be drawn.
    prompt_BxPxC: text tokens. prompt_mask_BxP: False for padding.
  """
  batch = len(prompt_BxPxC)
  chex.assert_shape(prompt_BxPxC, (batch, None, weights.config.prompt_dim))
  chex.assert_shape(prompt_mask_BxP, prompt_BxPxC.shape[:2])
  guided = method.guidance is not None
  # The weights are not outputs of the jitted part: that would copy them.
  fixed = _prepare(weights, prompt_BxPxC, prompt_mask_BxP, guided=guided)
  return Prompted(weights, method, *fixed)


@functools.partial(jax.jit, static_argnames="guided")
def _prepare(
  weights: Weights,
  prompt_BxPxC: jax.Array,
  prompt_mask_BxP: jax.Array,
  *,
  guided: bool,
) -> tuple[list[Cache], jax.Array, jax.Array]:
  """`cross`, `mask_IxBxP` and `summary_KxIxBxD` of `Prompted`."""
  block = TemporalBlock(weights.config, parent=None)

  def keys_values(params: Any, prompt_PxC: jax.Array) -> Any:
    return block.apply({"params": params}, prompt_PxC, method="prompt_cache")

  def prepare(
    weights: Weights, prompt_BxPxC: jax.Array, mask_BxP: jax.Array
  ) -> tuple[list[Cache], jax.Array, jax.Array]:
    prompts = [(prompt_BxPxC, mask_BxP)]
    if guided:
      prompts.append(null_prompt(prompt_BxPxC, mask_BxP))
    prompt_IxBxPxC, mask_IxBxP = map(jnp.stack, zip(*prompts, strict=True))
    prompt_IxBxPxC = prompt_IxBxPxC.astype(weights.execution.activations)
    of_rows = jax.vmap(jax.vmap(keys_values, (None, 0)), (None, 0))
    cross = [
      jax.vmap(of_rows, (0, None))(layer, prompt_IxBxPxC)
      for layer in weights.unpacked().temporal
    ]

    def summaries(params: Any) -> Any:
      affine = params["summary"], params["summary_bias"]
      of_rows = jax.vmap(functools.partial(summarise, *affine))
      return of_rows(prompt_IxBxPxC, mask_IxBxP)

    return cross, mask_IxBxP, jax.vmap(summaries)(weights.summary)

  of = Prompted.axes()
  run = meshes.on_devices(
    prepare,
    len(prompt_BxPxC),
    (EXPERTS, ROWS, ROWS),
    (of.cross, of.mask_IxBxP, of.summary_KxIxBxD),
  )
  return run(weights, prompt_BxPxC, prompt_mask_BxP)


@functools.partial(jax.jit, static_argnames="capacity")
def start(
  prompted: Prompted, capacity: int, frame: jax.Array | int = 0
) -> State:
  """State before the first frame of a window.

  Args:
    prompted: from `prepare`.
    capacity: maximum number of frames.
    frame: number of the first frame in the sound.
  """

  def start(prompted: Prompted, frame: jax.Array) -> State:
    config, weights = prompted.weights.config, prompted.weights
    rows = prompted.summary_KxIxBxD.shape[:3]
    dtype = weights.execution.activations

    def empty(slots: int) -> jax.Array:
      shape = (*rows, config.kv_heads, slots, config.head_dim)
      return constrain_cache(jnp.zeros(shape, dtype))

    blocks = [(empty(slots), empty(slots)) for slots in cache_blocks(capacity)]
    sos = weights.sos_KxD[:, None, None]
    return State(
      frame=frame,
      position=jnp.int32(0),
      x_KxIxBxD=jnp.broadcast_to(sos, (*rows, config.dim)).astype(dtype),
      caches=[blocks for _ in weights.temporal],
    )

  run = meshes.on_devices(
    start, prompted.num_rows, (Prompted.axes(), P()), State.axes()
  )
  return run(prompted, jnp.int32(frame))


@exact
def embed(
  folded_Nx8xD: jax.Array, offset_NxD: jax.Array, entries_BxNx8: jax.Array
) -> jax.Array:
  """Sum of the embeddings of the first codebooks' entries, [B, D]."""
  width = folded_Nx8xD.shape[-1]
  flat = entries_BxNx8.reshape(len(entries_BxNx8), -1)
  return flat @ folded_Nx8xD.reshape(-1, width) + jnp.sum(offset_NxD, 0)


def constrain_cache(x_KxIxBxJxWxA: jax.Array) -> jax.Array:
  """Shards heads over the model axis."""
  return meshes.constrain(
    x_KxIxBxJxWxA, None, None, None, "kv_heads", None, None
  )


def _as_used(params: Any, dtype: str) -> Any:
  """Parameters other than norms, cast to the type they are used in."""
  return jax.tree_util.tree_map_with_path(
    lambda path, x: x if path[-1].key == "scale" else x.astype(dtype), params
  )


def _each(tree: Any) -> list[Any]:
  """Slices for each expert of a device, with a leading axis: [1, ...]."""
  count = len(jax.tree.leaves(tree)[0])
  return [jax.tree.map(lambda x, i=i: x[i : i + 1], tree) for i in range(count)]


def _unstack(tree: Any, axis: int) -> list[Any]:
  count = jax.tree.leaves(tree)[0].shape[axis]
  return [
    jax.tree.map(
      lambda x, i=i: jax.lax.index_in_dim(x, i, axis, keepdims=False), tree
    )
    for i in range(count)
  ]
