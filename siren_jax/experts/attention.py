"""Attention along time, to the prompt, and over the tokens of one frame.

Axis I: keys that need not be frames: prompt tokens, slots of a cache, tokens of
one frame in the depth path.
"""

import functools
import math
import operator

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.common import tuning
from siren_jax.common.mesh import is_single_device
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.layers import affine, linear, parameter

NEGATIVE = -1e9
QUERY_BLOCK = 128  # of `attend_to_past`; the width of a TPU's matrix unit

Cache = tuple[jax.Array, jax.Array]  # k and v of one row, [J, I, A]
Blocks = list[Cache]  # for all frames, see `cache_blocks`
Past = tuple[jax.Array, jax.Array]  # k and v of a frame's tokens, [I, ..., D]


@jax.custom_vjp
def attend(
  q_BxTxJxRxA: jax.Array,
  k_BxIxJxA: jax.Array,
  v_BxIxJxA: jax.Array,
  mask_BxTxI: jax.Array,
) -> jax.Array:
  """Softmax attention with grouped heads: J key-value heads, R queries each.

  As in FlashAttention (Dao et al. 2022), its derivative recomputes the weights
  from their normalisers, so that they are not stored for the backward pass.

  Args:
    mask_BxTxI: False is never attended to; [B, 1, I] applies to all queries.

  Returns:
    [B, T, J, R, A], normalised in float32.
  """
  return _attend_forward(q_BxTxJxRxA, k_BxIxJxA, v_BxIxJxA, mask_BxTxI)[0]


def _attend_forward(
  q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
  scores = _scores(q, k, mask)
  top = jnp.max(scores, -1, keepdims=True)
  weights = jnp.exp(scores - top)
  total = jnp.moveaxis(jnp.sum(weights, -1, keepdims=True), 3, 1)
  out = jnp.einsum("bjrti,bija->btjra", weights.astype(v.dtype), v)
  out = (out / total).astype(v.dtype)
  return out, (q, k, v, mask, top, total, out)


def _attend_backward(
  saved: tuple[jax.Array, ...], d_out: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, None]:
  q, k, v, mask, top, total, out = saved
  dtype, scale = q.dtype, q.shape[-1] ** -0.5
  d_out = d_out / total
  d_total = jnp.moveaxis(jnp.sum(d_out * out, -1, keepdims=True), 1, 3)
  d_out = d_out.astype(dtype)
  weights = jnp.exp(_scores(q, k, mask) - top)
  d_weights = jnp.einsum(
    "btjra,bija->bjrti", d_out, v, preferred_element_type=jnp.float32
  )
  d_scores = (weights * (d_weights - d_total)).astype(dtype)
  dq = jnp.einsum("bjrti,bija->btjra", d_scores, k * scale)
  # With I last, the narrow operand is transposed, as in `linear`.
  dk = jnp.einsum("btjra,bjrti->bjai", q * scale, d_scores)
  dv = jnp.einsum("btjra,bjrti->bjai", d_out, weights.astype(dtype))
  return dq, jnp.moveaxis(dk, 3, 1), jnp.moveaxis(dv, 3, 1), None


attend.defvjp(_attend_forward, _attend_backward)


def _scores(q: jax.Array, k: jax.Array, mask: jax.Array) -> jax.Array:
  """[B, J, R, T, I], float32."""
  scores = jnp.einsum(
    "btjra,bija->bjrti", q * q.shape[-1] ** -0.5, k,
    preferred_element_type=jnp.float32,
  )  # fmt: skip
  return jnp.where(mask[:, None, None], scores, NEGATIVE)


def attend_to_past(
  q_BxTxJxRxA: jax.Array,
  k_BxTxJxA: jax.Array,
  v_BxTxJxA: jax.Array,
  mask_BxTxT: jax.Array,
) -> jax.Array:
  """`attend` under a causal mask, skipping most masked keys.

  A block of queries skips the keys after it. cuDNN's kernel, on one GPU, writes
  no scores to memory; JAX (0.10.2) does not compile it over a mesh.
  """
  length = q_BxTxJxRxA.shape[1]
  implementation = tuning.current().attention
  if implementation and is_single_device() and _fits_cudnn(q_BxTxJxRxA):
    q_BxTxHxA = jax.lax.collapse(q_BxTxJxRxA, 2, 4)
    out = jax.nn.dot_product_attention(
      q_BxTxHxA, k_BxTxJxA, v_BxTxJxA, mask=mask_BxTxT[:, None],
      is_causal=True, implementation=implementation,
    )  # fmt: skip
    return out.reshape(q_BxTxJxRxA.shape)
  ends = [*range(QUERY_BLOCK, length, QUERY_BLOCK), length]
  blocks = [
    attend(
      q_BxTxJxRxA[:, begin:end],
      k_BxTxJxA[:, :end],
      v_BxTxJxA[:, :end],
      mask_BxTxT[:, begin:end, :end],
    )
    for begin, end in zip([0, *ends], ends, strict=False)
  ]
  return jnp.concatenate(blocks, axis=1)


def _fits_cudnn(q_BxTxJxRxA: jax.Array) -> bool:
  length, width = q_BxTxJxRxA.shape[1], q_BxTxJxRxA.shape[-1]
  fits = length % 2 == 0 and width % 8 == 0 and width <= 128
  return fits and q_BxTxJxRxA.dtype in (jnp.bfloat16, jnp.float16)


def attend_cached(
  q_JxRxA: jax.Array, blocks: Blocks, mask_I: jax.Array | np.ndarray
) -> jax.Array:
  """`attend` for one new token of one row over the cache: [D].

  Args:
    blocks: keys and values. mask_I: over the slots of all blocks.
  """
  scale = q_JxRxA.shape[-1] ** -0.5
  parts = [
    jnp.einsum(
      "jra,jia->jri", q_JxRxA * scale, k_JxIxA,
      preferred_element_type=jnp.float32,
    )
    for k_JxIxA, _ in blocks
  ]  # fmt: skip
  scores = jnp.where(mask_I, jnp.concatenate(parts, -1), NEGATIVE)
  ends = np.cumsum([v_JxIxA.shape[1] for _, v_JxIxA in blocks])
  probs = jnp.split(nn.softmax(scores), ends[:-1], axis=-1)
  # Summed in float32, so that the number of blocks does not matter.
  sums = (
    jnp.einsum(
      "jri,jia->jra", p.astype(v_JxIxA.dtype), v_JxIxA,
      preferred_element_type=jnp.float32,
    )
    for p, (_, v_JxIxA) in zip(probs, blocks, strict=True)
  )  # fmt: skip
  out = functools.reduce(operator.add, sums)
  return out.reshape(-1).astype(q_JxRxA.dtype)


def cache_blocks(num_frames: int) -> list[int]:
  """Number of slots of each block of a cache for `num_frames` frames.

  A frame reads the blocks up to its own, not the empty ones: with four blocks,
  five eighths of the cache on average. The last slot of each block is a dummy:
  it is written, but never read, by frames that belong to other blocks.
  """
  count = tuning.current().cache_blocks
  frames = math.ceil(num_frames / count)
  return [frames + 1] * math.ceil(num_frames / frames)


def causal_mask(frame_mask_BxT: jax.Array) -> jax.Array:
  """[B, T, T]: frame t sees itself and the unmasked frames before it."""
  length = frame_mask_BxT.shape[-1]
  causal = jnp.tril(jnp.ones((length, length), bool))
  return causal & frame_mask_BxT[:, None, :]


class SelfAttention(nn.Module):
  """J = kv_heads groups of R = heads / kv_heads queries; no biases."""

  config: ExpertConfig

  def setup(self) -> None:
    cfg = self.config
    queries = (cfg.kv_heads, cfg.heads_per_kv, cfg.head_dim)
    keys = (cfg.kv_heads, cfg.head_dim)
    axes = ("embed", "heads", None)
    self.query = parameter(self, "query", (*axes, None), cfg.dim, *queries)
    self.key = parameter(self, "key", axes, cfg.dim, *keys)
    self.value = parameter(self, "value", axes, cfg.dim, *keys)
    self.out = parameter(self, "out", ("heads", "embed"), cfg.dim, cfg.dim)

  def project(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """x [..., D] to q [..., J, R, A], k and v [..., J, A]."""
    return linear(x, self.query), linear(x, self.key), linear(x, self.value)

  def merge(self, heads: jax.Array) -> jax.Array:
    """Concatenated heads [..., D] to the output [..., D]."""
    return linear(heads, self.out)

  def __call__(
    self, x_BxTxD: jax.Array, mask_BxTxT: jax.Array
  ) -> tuple[jax.Array, Cache]:
    """[B, T, D], and the keys and values of all frames, [B, T, J, A]."""
    q, k, v = self.project(x_BxTxD)
    heads = attend_to_past(q, k, v, mask_BxTxT)
    return self.merge(heads.reshape(x_BxTxD.shape)), (k, v)

  def step(
    self, x_D: jax.Array, blocks: Blocks, t: jax.Array
  ) -> tuple[jax.Array, Blocks]:
    """Frame t of `__call__` for one row, from the cache of previous frames."""
    q, k, v = self.project(x_D)
    frames = blocks[0][0].shape[1] - 1

    def write(i: int, block: Cache) -> Cache:
      slot = jnp.where(t // frames == i, t % frames, frames)
      put = functools.partial(
        jax.lax.dynamic_update_index_in_dim, index=slot, axis=1
      )
      return put(block[0], k), put(block[1], v)

    def read(count: int, q: jax.Array, blocks: Blocks) -> jax.Array:
      begin, slot = frames * np.arange(count)[:, None], np.arange(frames + 1)
      seen = (slot < frames) & (begin + slot <= t)
      return attend_cached(q, blocks[:count], seen.reshape(-1))

    blocks = [write(i, block) for i, block in enumerate(blocks)]
    reads = [functools.partial(read, i + 1) for i in range(len(blocks))]
    out = jax.lax.switch(t // frames, reads, q, blocks)
    return self.merge(out), blocks

  def over_tokens(
    self, x: jax.Array, last: int, past: Past | None = None
  ) -> tuple[jax.Array, Past]:
    """Causal attention over the few tokens of a frame, [I, ..., D].

    A batched 3 x 3 matrix product per head is very slow. Here pairs of tokens
    are multiplied channel by channel, and a product with a 0/1 matrix
    (`heads_DxH`) sums the channels of each head, or broadcasts a head's weight
    to its channels.

    Args:
      x: new tokens. last: number of trailing ones that are queries.
      past: keys and values of the previous tokens; returned with `x` appended.

    Returns:
      [last, ..., D] and the new `past`.
    """
    cfg = self.config
    heads_DxH = jnp.repeat(jnp.eye(cfg.heads), cfg.head_dim, axis=0)
    heads_DxH = heads_DxH.astype(x.dtype)
    new = self._spread(linear(x, self.key)), self._spread(linear(x, self.value))
    if past is not None:
      new = jax.tree.map(lambda old, x: jnp.concatenate([old, x]), past, new)
    k, v = new
    query = linear(x[-last:], self.query).reshape(x[-last:].shape)
    outs = []
    for seen, q in enumerate(query * cfg.head_dim**-0.5, len(k) - last + 1):
      # Term by term, so that no sum over tokens (of values or of the queries'
      # gradients) is a reduction: XLA is slow at such small ones.
      scores = jnp.stack([q * key for key in k[:seen]]) @ heads_DxH
      probs = nn.softmax(scores.astype(jnp.float32), axis=0).astype(x.dtype)
      outs.append(sum((probs @ heads_DxH.T) * v[:seen]))
    return self.merge(jnp.stack(outs)), new

  def _spread(self, x: jax.Array) -> jax.Array:
    """Keys or values [..., J, A] repeated for each query head: [..., D]."""
    repeated = jnp.repeat(x, self.config.heads_per_kv, axis=-2)
    return repeated.reshape(*x.shape[:-2], -1)


class CrossAttention(nn.Module):
  """Attention to the prompt: biases everywhere, as many kv heads as heads."""

  config: ExpertConfig

  def setup(self) -> None:
    cfg = self.config
    heads = (cfg.heads, cfg.head_dim)
    axes = ("heads", None)
    self.query = parameter(self, "query", ("embed", *axes), cfg.dim, *heads)
    self.query_bias = parameter(self, "query_bias", axes, *heads)
    self.key = parameter(self, "key", ("prompt", *axes), cfg.prompt_dim, *heads)
    self.key_bias = parameter(self, "key_bias", axes, *heads)
    self.value = parameter(
      self, "value", ("prompt", *axes), cfg.prompt_dim, *heads
    )
    self.value_bias = parameter(self, "value_bias", axes, *heads)
    self.out = parameter(self, "out", ("heads", "embed"), cfg.dim, cfg.dim)
    self.out_bias = parameter(self, "out_bias", ("embed_vector",), cfg.dim)

  def project(self, x: jax.Array) -> jax.Array:
    """x [..., D] to queries [..., H, A]."""
    return affine(x, self.query, self.query_bias)

  def keys_values(self, prompt: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Prompt [..., P, C] to k and v [..., P, H, A]."""
    key = affine(prompt, self.key, self.key_bias)
    return key, affine(prompt, self.value, self.value_bias)

  def merge(self, heads: jax.Array) -> jax.Array:
    """Concatenated heads [..., D] to the output [..., D]."""
    return affine(heads, self.out, self.out_bias)

  def step(self, x_D: jax.Array, cache: Cache, mask_P: jax.Array) -> jax.Array:
    """One frame of `__call__` for one row; k and v are [H, P, A]."""
    query = self.project(x_D)[..., None, :]
    return self.merge(attend_cached(query, [cache], mask_P))

  def __call__(
    self, x_BxTxD: jax.Array, keys_values: Cache, mask_Bx1xP: jax.Array
  ) -> jax.Array:
    """Attention of frames [B, T, D] to the prompt, given by `keys_values`."""
    query = self.project(x_BxTxD)[..., None, :]
    heads = attend(query, *keys_values, mask_Bx1xP)
    return self.merge(heads.reshape(x_BxTxD.shape))
