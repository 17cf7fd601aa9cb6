"""Attention along time, to the prompt, and over the tokens of one frame."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.layers import parameter

NEGATIVE = -1e9


def attend(
  q_BxTxGxRxH: jax.Array,
  k_BxSxGxH: jax.Array,
  v_BxSxGxH: jax.Array,
  mask: jax.Array,
) -> jax.Array:
  """Softmax attention with grouped heads: G key-value heads, R queries each.

  Args:
    mask: broadcastable to [B, T, S]; False is never attended to.

  Returns:
    [B, T, G*R*H], heads in the order g*R + r.
  """
  scale = q_BxTxGxRxH.shape[-1] ** -0.5
  scores = jnp.einsum(
    "btgrh,bsgh->bgrts", q_BxTxGxRxH * scale, k_BxSxGxH,
    preferred_element_type=jnp.float32,
  )  # fmt: skip
  scores = jnp.where(mask[:, None, None], scores, NEGATIVE)
  probs = nn.softmax(scores).astype(v_BxSxGxH.dtype)
  out = jnp.einsum("bgrts,bsgh->btgrh", probs, v_BxSxGxH)
  return out.reshape(*out.shape[:2], -1)


def causal_mask(frame_mask_BxT: jax.Array) -> jax.Array:
  """[B, T, T]: frame t sees itself and the unmasked frames before it."""
  length = frame_mask_BxT.shape[-1]
  causal = jnp.tril(jnp.ones((length, length), bool))
  return causal & frame_mask_BxT[:, None, :]


class SelfAttention(nn.Module):
  """Fused qkv and output projections, no biases.

  The fused kernel is grouped by key-value head, [D, G, R + 2, H] with the R
  query heads, then k, then v: heads can be sharded and split in place.
  """

  config: ExpertConfig

  def setup(self):
    cfg = self.config
    self.qkv = parameter(
      self, "qkv", ("embed", "heads", None, None),
      cfg.dim, cfg.kv_heads, cfg.heads_per_kv + 2, cfg.head_dim,
    )  # fmt: skip
    self.out = parameter(self, "out", ("heads", "embed"), cfg.dim, cfg.dim)

  def project(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """x [..., D] to q [..., G, R, H], k and v [..., G, H]."""
    qkv = jnp.einsum("...d,dgrh->...grh", x, self.qkv.astype(x.dtype))
    return qkv[..., :-2, :], qkv[..., -2, :], qkv[..., -1, :]

  def merge(self, heads: jax.Array) -> jax.Array:
    """Concatenated heads [..., D] to the output [..., D]."""
    return heads @ self.out.astype(heads.dtype)

  def __call__(self, x_BxTxD: jax.Array, mask_BxTxT: jax.Array) -> jax.Array:
    return self.merge(attend(*self.project(x_BxTxD), mask_BxTxT))

  def over_tokens(self, x: jax.Array, last: int) -> jax.Array:
    """Causal attention over the few tokens [..., J, D] of a frame.

    Written as products and sums: a batched matrix product of 3 x 3 is the
    worst shape there is. Only the `last` tokens ask.
    """
    q, k, v = self.project(x)
    tokens, scale = x.shape[-2], q.shape[-1] ** -0.5
    q = q[..., tokens - last :, :, :, :] * scale
    outs = []
    for j in range(last):
      seen = tokens - last + j + 1
      query = q[..., j, None, :, :, :]
      scores = jnp.sum(query * k[..., :seen, :, None, :], -1)
      probs = nn.softmax(scores.astype(jnp.float32), axis=-3)
      probs = probs.astype(v.dtype)[..., None]
      outs.append(jnp.sum(probs * v[..., :seen, :, None, :], axis=-4))
    out = jnp.stack(outs, axis=-4)
    return self.merge(out.reshape(*out.shape[:-3], -1))


class CrossAttention(nn.Module):
  """Attention to the prompt: biases everywhere, as many kv heads as heads."""

  config: ExpertConfig

  def setup(self):
    cfg = self.config
    heads = (cfg.heads, cfg.head_dim)
    axes = ("heads", None)
    self.query = parameter(self, "query", ("embed", *axes), cfg.dim, *heads)
    self.query_bias = parameter(self, "query_bias", axes, *heads)
    self.key_value = parameter(
      self, "key_value", ("prompt", None, *axes), cfg.prompt_dim, 2, *heads
    )
    self.key_value_bias = parameter(
      self, "key_value_bias", (None, *axes), 2, *heads
    )
    self.out = parameter(self, "out", ("heads", "embed"), cfg.dim, cfg.dim)
    self.out_bias = parameter(self, "out_bias", ("embed_vector",), cfg.dim)

  def project(self, x: jax.Array) -> jax.Array:
    """x [..., D] to queries [..., heads, H]."""
    query = jnp.einsum("...d,dgh->...gh", x, self.query.astype(x.dtype))
    return query + self.query_bias.astype(x.dtype)

  def keys_values(self, prompt: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Prompt [..., P, C] to k and v [..., P, heads, H]."""
    kernel = self.key_value.astype(prompt.dtype)
    kv = jnp.einsum("...c,cngh->...ngh", prompt, kernel)
    kv = kv + self.key_value_bias.astype(prompt.dtype)
    return kv[..., 0, :, :], kv[..., 1, :, :]

  def merge(self, heads: jax.Array) -> jax.Array:
    """Concatenated heads [..., D] to the output [..., D]."""
    return heads @ self.out.astype(heads.dtype) + self.out_bias.astype(
      heads.dtype
    )

  def __call__(
    self, x_BxTxD: jax.Array, prompt_BxPxC: jax.Array, mask_Bx1xP: jax.Array
  ) -> jax.Array:
    query = self.project(x_BxTxD)[..., None, :]
    return self.merge(
      attend(query, *self.keys_values(prompt_BxPxC), mask_Bx1xP)
    )
