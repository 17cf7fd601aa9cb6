"""Attention of one frame, one kernel per attention.

Activations have ROWS rows, keys and values only those in use. Axis I: keys; in
`qkv`: queries, keys and values, concatenated.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from siren_jax.experts.attention import NEGATIVE
from siren_jax.sampling.gpu.products import (
  ROWS,
  Kernel,
  block,
  dot,
  options,
  parts,
)

SLOTS = 64  # of a cache, read at a time


def attend_to_past(
  qkv_KxBxIxA: jax.Array,
  k_KxBxJxIxA: jax.Array,
  v_KxBxJxIxA: jax.Array,
  position: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Attention of a new frame to itself and the frames before it.

  Args:
    qkv_KxBxIxA: its queries [H], keys [J] and values [J], concatenated.
    k_KxBxJxIxA, v_KxBxJxIxA: keys and values of previous frames; updated in
      place.
    position: int32 scalar, number of previous frames.

  Returns:
    [K, B, H, A], and keys and values including those of the new frame.
  """
  experts, rows, kv_heads, slots, width = k_KxBxJxIxA.shape
  heads = qkv_KxBxIxA.shape[2] - 2 * kv_heads
  share = heads // kv_heads

  def of_frame(size: int | None, first: int) -> pl.BlockSpec:
    return pl.BlockSpec(
      (None, None, size, width), lambda k, b, j: (k, b, first + j, 0)
    )

  cache = pl.BlockSpec(
    (None, None, None, slots, width), lambda k, b, j: (k, b, j, 0, 0)
  )
  qkv = qkv_KxBxIxA
  return pl.pallas_call(
    functools.partial(_attend_to_past, slots),
    grid=(experts, rows, kv_heads),
    in_specs=[
      pl.BlockSpec((1,), lambda k, b, j: (0,)),
      of_frame(share, 0),
      of_frame(None, heads),
      of_frame(None, heads + kv_heads),
      cache,
      cache,
    ],
    out_specs=[of_frame(share, 0), cache, cache],
    out_shape=[
      jax.ShapeDtypeStruct((experts, ROWS, heads, width), qkv.dtype),
      jax.ShapeDtypeStruct(k_KxBxJxIxA.shape, k_KxBxJxIxA.dtype),
      jax.ShapeDtypeStruct(v_KxBxJxIxA.shape, v_KxBxJxIxA.dtype),
    ],
    input_output_aliases={4: 1, 5: 2},
    **options(),
    name="attend_to_past",
  )(position[None], qkv, qkv, qkv, k_KxBxJxIxA, v_KxBxJxIxA)


def _attend_to_past(
  slots: int,
  position_ref: Any,
  q_ref: Any,
  new_k_ref: Any,
  new_v_ref: Any,
  k_ref: Any,
  v_ref: Any,
  out_ref: Any,
  k_out_ref: Any,
  v_out_ref: Any,
) -> None:
  position = position_ref[0]
  q_RxA = _scaled(q_ref)
  new_k, new_v = new_k_ref[...], new_v_ref[...]
  self_score_R = jnp.sum(q_RxA * new_k.astype(jnp.float32), 1)
  values_RxA = jnp.broadcast_to(new_v.astype(jnp.float32), q_RxA.shape)
  carry = self_score_R, jnp.ones_like(self_score_R), values_RxA
  read = functools.partial(_slots, k_ref, v_ref, slots)

  def more(i: jax.Array, carry: Any) -> Any:
    return _attend(q_RxA, *read(i, position), carry)

  count = (position + SLOTS - 1) // SLOTS
  _, total_R, out_RxA = jax.lax.fori_loop(0, count, more, carry)
  out_ref[...] = (out_RxA / total_R[:, None]).astype(out_ref.dtype)
  slot = jnp.minimum(position, slots - 1)  # The last one is a dummy.
  k_out_ref[slot] = new_k
  v_out_ref[slot] = new_v


def attend_to_prompt(
  q_KxBxHxA: jax.Array,
  k_KxBxHxPxA: jax.Array,
  v_KxBxHxPxA: jax.Array,
  mask_BxP: jax.Array,
) -> jax.Array:
  """Attention of a new frame to the tokens of the prompt, [K, B, H, A]."""
  experts, rows, heads, tokens, width = k_KxBxHxPxA.shape
  of_frame = pl.BlockSpec((None, None, 1, width), lambda k, b, h: (k, b, h, 0))
  prompt = pl.BlockSpec(
    (None, None, None, tokens, width), lambda k, b, h: (k, b, h, 0, 0)
  )
  return pl.pallas_call(
    functools.partial(_attend_to_prompt, tokens),
    grid=(experts, rows, heads),
    in_specs=[
      of_frame,
      prompt,
      prompt,
      pl.BlockSpec((None, tokens), lambda k, b, h: (b, 0)),
    ],
    out_specs=of_frame,
    out_shape=jax.ShapeDtypeStruct(q_KxBxHxA.shape, q_KxBxHxA.dtype),
    **options(),
    name="attend_to_prompt",
  )(q_KxBxHxA, k_KxBxHxPxA, v_KxBxHxPxA, mask_BxP.astype(jnp.int32))


def _attend_to_prompt(
  tokens: int, q_ref: Any, k_ref: Any, v_ref: Any, mask_ref: Any, out_ref: Any
) -> None:
  q_1xA = _scaled(q_ref)
  read = functools.partial(_slots, k_ref, v_ref, tokens)

  def more(i: jax.Array, carry: Any) -> Any:
    keys, values, inside = read(i, tokens)
    mask = _read(mask_ref, inside, pl.ds(i * SLOTS, SLOTS))
    return _attend(q_1xA, keys, values, mask > 0, carry)

  nothing = jnp.full(1, NEGATIVE), jnp.zeros(1), jnp.zeros_like(q_1xA)
  _, total, out = jax.lax.fori_loop(0, pl.cdiv(tokens, SLOTS), more, nothing)
  out_ref[...] = (out / total[:, None]).astype(out_ref.dtype)


def attend_to_tokens(
  qkv: Sequence[jax.Array],
  counts: Sequence[int],
  heads: int,
  kernel: Kernel,
  residual_BxD: jax.Array,
) -> jax.Array:
  """Attention over a frame's tokens, times a kernel, plus a residual: [B, D].

  Args:
    qkv: queries, keys and values of groups of tokens, [B, I] each. The queries
      are the last group's tokens; each attends to tokens up to itself.
    counts: number of tokens in each group.
    heads: H, of queries. kernel: [1, D, D].
  """
  values, scale = parts(kernel)
  dim = values.shape[1]
  tile = block(dim, 32)
  whole = pl.BlockSpec(qkv[0].shape, lambda i: (0, 0))
  part = pl.BlockSpec((ROWS, tile), lambda i: (0, i))
  body = functools.partial(
    _attend_to_tokens, tuple(counts), ROWS // max(counts), heads, dim // heads
  )
  scales = [] if scale is None else [scale]
  return pl.pallas_call(
    body,
    grid=(dim // tile,),
    in_specs=[
      *[whole for _ in qkv],
      *[pl.BlockSpec((None, 1, tile), lambda i: (0, 0, i)) for _ in scales],
      pl.BlockSpec((None, tile, dim), lambda i: (0, i, 0)),
      part,
    ],
    out_specs=part,
    out_shape=jax.ShapeDtypeStruct(residual_BxD.shape, residual_BxD.dtype),
    **options(),
    name="attend_to_tokens",
  )(*qkv, *scales, values, residual_BxD)


def _attend_to_tokens(
  counts: Sequence[int], rows: int, heads: int, width: int, *refs: Any
) -> None:
  qkv, others = refs[: len(counts)], refs[len(counts) :]
  *scales, kernel_ref, residual_ref, out_ref = others
  kv_heads = (qkv[0].shape[1] // width - heads) // 2
  row = jnp.arange(ROWS)
  before = [sum(counts[:i]) for i in range(len(counts))]
  own = before[-1] + row // rows

  def add(head: jax.Array, total: jax.Array) -> jax.Array:
    q = qkv[-1][:, pl.ds(head * width, width)].astype(jnp.float32)
    first = heads + head // (heads // kv_heads)
    scores, values = [], []
    for ref, start, count in zip(qkv, before, counts, strict=True):
      for token in range(count):
        at = token * rows + row % rows
        k, v = (
          ref[at, pl.ds((first + i * kv_heads) * width, width)] for i in (0, 1)
        )
        score = jnp.sum(q * k.astype(jnp.float32), 1) * width**-0.5
        scores.append(jnp.where(start + token <= own, score, NEGATIVE))
        values.append(v.astype(jnp.float32))
    top = functools.reduce(jnp.maximum, scores)
    weights = [jnp.exp(score - top) for score in scores]
    total_B = functools.reduce(jnp.add, weights)
    seen = functools.reduce(
      jnp.add,
      [w[:, None] * v for w, v in zip(weights, values, strict=True)],
    )
    seen = (seen / total_B[:, None]).astype(residual_ref.dtype)
    kernel = kernel_ref[:, pl.ds(head * width, width)]
    return total + dot(seen, kernel.astype(seen.dtype))

  total = jax.lax.fori_loop(
    0, heads, add, jnp.zeros(out_ref.shape, jnp.float32)
  )
  for scale_ref in scales:
    total = total * scale_ref[...]
  total = total + residual_ref[...].astype(jnp.float32)
  out_ref[...] = total.astype(out_ref.dtype)


def _scaled(q_ref: Any) -> jax.Array:
  return q_ref[...].astype(jnp.float32) * q_ref.shape[-1] ** -0.5


def _slots(
  k_ref: Any, v_ref: Any, size: int, i: jax.Array, count: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Keys and values of the i-th block of SLOTS slots, and their mask."""
  slot = i * SLOTS + jnp.arange(SLOTS)
  inside = jnp.broadcast_to((slot < size)[:, None], (SLOTS, k_ref.shape[-1]))
  at = pl.ds(i * SLOTS, SLOTS), slice(None)
  keys, values = (
    _read(ref, inside, *at).astype(jnp.float32) for ref in (k_ref, v_ref)
  )
  return keys, values, slot < count


def _read(ref: Any, mask: jax.Array, *at: Any) -> jax.Array:
  return triton.load(ref.at[at], mask=mask, other=0)


def _attend(
  q_RxA: jax.Array,
  k_IxA: jax.Array,
  v_IxA: jax.Array,
  mask_I: jax.Array,
  carry: tuple[jax.Array, jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Online softmax: maximum score [R], sum of weights [R], weighted values."""
  top_R, total_R, out_RxA = carry
  scores_RxI = jnp.sum(q_RxA[:, None] * k_IxA[None], 2)
  scores_RxI = jnp.where(mask_I[None], scores_RxI, NEGATIVE)
  new_top_R = jnp.maximum(top_R, jnp.max(scores_RxI, 1))
  weights_RxI = jnp.exp(scores_RxI - new_top_R[:, None])
  fade_R = jnp.exp(top_R - new_top_R)
  added_RxA = jnp.sum(weights_RxI[:, :, None] * v_IxA[None], 1)
  return (
    new_top_R,
    total_R * fade_R + jnp.sum(weights_RxI, 1),
    out_RxA * fade_R[:, None] + added_RxA,
  )
