"""The sampler's state after given frames, from one teacher-forced pass."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from siren_jax.common import mesh as meshes
from siren_jax.experts.attention import Blocks, Cache, causal_mask
from siren_jax.experts.expert import TemporalBlock
from siren_jax.sampling.state import (
  ROWS,
  Prompted,
  State,
  constrain_cache,
  embed,
)


@functools.partial(jax.jit, donate_argnames="state")
def prefill(
  prompted: Prompted,
  state: State,
  codes_BxNxT: jax.Array,
  num_frames: jax.Array | int | None = None,
) -> State:
  """State after given frames, as if they had been drawn, in one pass.

  Args:
    prompted: from `prepare`.
    state: from `start`, with capacity for T frames; donated.
    codes_BxNxT: codes of the frames.
    num_frames: use only this many of them; None: all.
  """
  batch, num_codebooks, frames = codes_BxNxT.shape
  assert (batch, num_codebooks) == (
    prompted.num_rows,
    prompted.weights.config.num_codebooks,
  )
  count = jnp.int32(frames if num_frames is None else num_frames)
  in_axes = (Prompted.axes(), State.axes(), ROWS, P())
  run = meshes.on_devices(_prefill, batch, in_axes, State.axes())
  return run(prompted, state, codes_BxNxT, count)


def _prefill(
  prompted: Prompted, state: State, codes_BxNxT: jax.Array, count: jax.Array
) -> State:
  weights = prompted.weights.unpacked()
  block = TemporalBlock(weights.config, parent=None)
  frames, dtype = codes_BxNxT.shape[2], state.x_KxIxBxD.dtype
  codebooks = jnp.arange(codes_BxNxT.shape[1])
  width = state.x_KxIxBxD.shape[1:]

  def inputs(
    codebook_NxVx8: jax.Array, folded: jax.Array, offset: jax.Array
  ) -> jax.Array:
    entries_BxTxNx8 = codebook_NxVx8[codebooks, codes_BxNxT.swapaxes(1, 2)]
    return jax.vmap(embed, (None, None, 1), 1)(folded, offset, entries_BxTxNx8)

  # Frame t of `after` is the input of frame t + 1.
  after_KxBxTxD = jax.vmap(inputs)(
    weights.books_KxNxVx8, weights.folded_KxNx8xD, weights.offset_KxNxD
  ).astype(dtype)
  last_KxBxD = jax.lax.dynamic_index_in_dim(
    after_KxBxTxD, jnp.maximum(count - 1, 0), 2, keepdims=False
  )
  x_KxIxBxTxD = jnp.concatenate(
    [
      state.x_KxIxBxD[:, :, :, None],
      jnp.broadcast_to(
        after_KxBxTxD[:, None, :, :-1],
        (len(after_KxBxTxD), *width[:2], frames - 1, width[-1]),
      ),
    ],
    axis=3,
  )
  mask_1xTxT = causal_mask(jnp.ones((1, frames), bool))

  def layer(
    params: Any, x: jax.Array, cross: Cache, mask_BxP: jax.Array
  ) -> Any:
    mask = jnp.broadcast_to(mask_1xTxT, (len(x), frames, frames))
    return block.apply(
      {"params": params}, x, cross, mask, mask_BxP[:, None], method="prefill"
    )

  over_all = jax.vmap(jax.vmap(layer, (None, 0, 0, 0)), (0, 0, 0, None))
  x, caches = x_KxIxBxTxD, []
  for params, cross, blocks in zip(
    weights.temporal, prompted.cross, state.caches, strict=True
  ):
    x, cache = over_all(params, x, cross, prompted.mask_IxBxP)
    caches.append(_filled(blocks, cache))
  filled = jnp.broadcast_to(last_KxBxD[:, None], state.x_KxIxBxD.shape)
  return State(
    frame=state.frame + count,
    position=count,
    x_KxIxBxD=jnp.where(count > 0, filled, state.x_KxIxBxD),
    caches=caches,
  )


def _filled(blocks: Blocks, cache: Cache) -> Blocks:
  """Blocks with the keys and values [..., T, A] in their first slots."""
  frames = blocks[0][0].shape[-2] - 1  # the last slot is a dummy

  def fill(i: int, block: jax.Array, new: jax.Array) -> jax.Array:
    new = new[..., i * frames : (i + 1) * frames, :]
    return constrain_cache(block.at[..., : new.shape[-2], :].set(new))

  return [
    (fill(i, k, cache[0]), fill(i, v, cache[1]))
    for i, (k, v) in enumerate(blocks)
  ]
