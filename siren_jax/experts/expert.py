"""The residual expert: a temporal and a depth transformer.

See docs/design.md, What Siren is. Axis I: tokens of a frame in the depth path.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.common.masks import masked_mean
from siren_jax.common.mesh import constrain
from siren_jax.experts.attention import (
  Blocks,
  Cache,
  CrossAttention,
  Past,
  SelfAttention,
  causal_mask,
)
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.embedding import CodeEmbedding
from siren_jax.experts.execution import Execution
from siren_jax.experts.layers import (
  RMSNorm,
  SwiGLU,
  affine,
  dropout,
  dropout_bytes,
  linear,
  parameter,
  sinusoid,
)


class TemporalBlock(nn.Module):
  """Cross-attention, causal self-attention, SwiGLU; pre-norm."""

  config: ExpertConfig

  def setup(self) -> None:
    cfg = self.config
    self.cross_norm = RMSNorm(cfg.norm_eps)
    self.cross_attention = CrossAttention(cfg)
    self.self_norm = RMSNorm(cfg.norm_eps)
    self.self_attention = SelfAttention(cfg)
    self.ffn_norm = RMSNorm(cfg.norm_eps)
    self.ffn = SwiGLU(cfg)

  def __call__(
    self,
    x_BxTxD: jax.Array,
    prompt_BxPxC: jax.Array,
    mask_BxTxT: jax.Array,
    mask_Bx1xP: jax.Array,
    key: jax.Array | None = None,
  ) -> jax.Array:
    keys_values = self.cross_attention.keys_values(prompt_BxPxC)
    return self._frames(x_BxTxD, keys_values, mask_BxTxT, mask_Bx1xP, key)[0]

  def prefill(
    self,
    x_BxTxD: jax.Array,
    prompt_cache: Cache,
    mask_BxTxT: jax.Array,
    mask_Bx1xP: jax.Array,
  ) -> tuple[jax.Array, Cache]:
    """`__call__` from the prompt's cache, k and v [B, H, P, A].

    Returns:
      [B, T, D], and keys and values for `step`, [B, J, T, A].
    """
    keys_values = jax.tree.map(lambda x: x.swapaxes(1, 2), prompt_cache)
    x, cache = self._frames(x_BxTxD, keys_values, mask_BxTxT, mask_Bx1xP)
    return x, jax.tree.map(lambda x: x.swapaxes(1, 2), cache)

  def _frames(
    self,
    x_BxTxD: jax.Array,
    keys_values: Cache,
    mask_BxTxT: jax.Array,
    mask_Bx1xP: jax.Array,
    key: jax.Array | None = None,
  ) -> tuple[jax.Array, Cache]:
    x, rate = x_BxTxD, self.config.dropout
    random = dropout_bytes(key, rate, x.shape)
    positions = jnp.arange(x.shape[1])
    x = x + sinusoid(positions, x.shape[-1]).astype(x.dtype)
    prompted = self.cross_attention(self.cross_norm(x), keys_values, mask_Bx1xP)
    x = x + dropout(prompted, rate, random, 0)
    past, cache = self.self_attention(self.self_norm(x), mask_BxTxT)
    x = x + dropout(past, rate, random, 1)
    return x + dropout(self.ffn(self.ffn_norm(x)), rate, random, 2), cache

  def prompt_cache(self, prompt_PxC: jax.Array) -> Cache:
    """Keys and values [H, P, A] of one row's prompt, for `step`."""
    key, value = self.cross_attention.keys_values(prompt_PxC)
    return key.swapaxes(0, 1), value.swapaxes(0, 1)

  def step(
    self,
    x_D: jax.Array,
    blocks: Blocks,
    prompt_cache: Cache,
    mask_P: jax.Array,
    t: jax.Array,
  ) -> tuple[jax.Array, Blocks]:
    """Frame t of `__call__` for one row, from the cache of previous frames."""
    x = x_D + sinusoid(t, x_D.size).astype(x_D.dtype)
    x = x + self.cross_attention.step(self.cross_norm(x), prompt_cache, mask_P)
    past, blocks = self.self_attention.step(self.self_norm(x), blocks, t)
    x = x + past
    return x + self.ffn(self.ffn_norm(x)), blocks


class DepthBlock(nn.Module):
  """Causal self-attention over the tokens of a frame, SwiGLU; pre-norm."""

  config: ExpertConfig

  def setup(self) -> None:
    cfg = self.config
    self.self_norm = RMSNorm(cfg.norm_eps)
    self.self_attention = SelfAttention(cfg)
    self.ffn_norm = RMSNorm(cfg.norm_eps)
    self.ffn = SwiGLU(cfg)

  def __call__(
    self,
    x: jax.Array,
    key: jax.Array | None = None,
    last: int | None = None,
    past: Past | None = None,
  ) -> tuple[jax.Array, Past]:
    """Tokens [I, ..., D] to tokens; only the `last` ones, if given.

    `past` holds keys and values of the previous tokens, and is returned with
    those of the new tokens appended.
    """
    rate, last = self.config.dropout, last or len(x)
    before = 0 if past is None else len(past[0])
    positions = sinusoid(before + jnp.arange(len(x)), x.shape[-1])
    x = x + positions.astype(x.dtype).reshape(len(x), *[1] * (x.ndim - 2), -1)
    random = dropout_bytes(key, rate, x[-last:].shape)
    seen, past = self.self_attention.over_tokens(self.self_norm(x), last, past)
    x = x[-last:] + dropout(seen, rate, random, 0)
    return x + dropout(self.ffn(self.ffn_norm(x)), rate, random, 1), past


class ResidualExpert(nn.Module):
  """Expert `index` of K; predicts its U = N / K codebooks from all below.

  `index` determines which codebooks it reads and predicts. It may be traced:
  one program serves all experts, stacked.
  """

  config: ExpertConfig
  execution: Execution = Execution()

  def setup(self) -> None:
    cfg = self.config
    self.embedding = CodeEmbedding(cfg)
    self.sos = parameter(self, "sos", (None, "embed"), 1, cfg.dim)
    self.temporal = self.param("temporal", self._init_temporal)
    self.temporal_norm = RMSNorm(cfg.norm_eps)
    self.summary = parameter(
      self, "summary", ("prompt", "embed"), cfg.prompt_dim, cfg.dim
    )
    self.summary_bias = parameter(
      self, "summary_bias", ("embed_vector",), cfg.dim
    )
    self.depth = self.param("depth", self._init_depth)
    self.depth_norm = RMSNorm(cfg.norm_eps)
    self.heads = parameter(
      self, "heads", (None, "embed", "vocab"),
      cfg.codebooks_per_expert, cfg.dim, cfg.codebook_size,
    )  # fmt: skip

  def _init_temporal(self, key: jax.Array) -> Any:
    cfg = self.config
    x, prompt = jnp.zeros((1, 1, cfg.dim)), jnp.zeros((1, 1, cfg.prompt_dim))
    mask = jnp.ones((1, 1, 1), bool)
    block = TemporalBlock(cfg, parent=None)
    params = block.init(key, x, prompt, mask, mask)["params"]
    return stack(params, cfg.temporal_layers, "layers")

  def _init_depth(self, key: jax.Array) -> Any:
    cfg = self.config
    x = jnp.zeros((1, cfg.dim))
    params = DepthBlock(cfg, parent=None).init(key, x)["params"]
    return stack(params, cfg.depth_layers, "layers")

  def __call__(
    self,
    codes_BxNxT: jax.Array,
    prompt_BxPxC: jax.Array,
    frame_mask_BxT: jax.Array,
    prompt_mask_BxP: jax.Array,
    index: jax.Array,
    key: jax.Array | None = None,
  ) -> list[jax.Array]:
    """Teacher-forced logits of the U codebooks, each [B, T, V], in float32.

    Args:
      codes_BxNxT: all codebooks; those above are never read.
      prompt_BxPxC: text tokens. prompt_mask_BxP: False for padding.
      frame_mask_BxT: False frames are never attended to.
      index: the expert's number.
      key: for dropout; None: no dropout.
    """
    keys = split(key, 2)
    dtype = jnp.dtype(self.execution.activations)
    prompt_BxPxC = prompt_BxPxC.astype(dtype)
    entries = self.embedding.entries(codes_BxNxT)
    x_BxTxD = self._temporal(
      entries, prompt_BxPxC, frame_mask_BxT, prompt_mask_BxP, keys[0]
    )
    summary_BxD = summarise(
      self.summary, self.summary_bias, prompt_BxPxC, prompt_mask_BxP
    )
    tokens = [x_BxTxD]
    for i in range(self.config.codebooks_per_expert):
      lower = self.embedding.total(entries, self.below(index, i))
      tokens.append(lower.astype(dtype) + summary_BxD[:, None])
    x = self._depth(jnp.stack(tokens), keys[1])
    return [
      linear(x, head, jnp.float32)
      for x, head in zip(x, self.heads, strict=True)
    ]

  def below(self, index: jax.Array, i: int) -> jax.Array:
    """Mask [N] of the codebooks that the expert's i-th is predicted from."""
    cfg = self.config
    first = cfg.codebooks_per_expert * index
    return jnp.arange(cfg.num_codebooks) < first + i

  def _temporal(
    self,
    entries: jax.Array,
    prompt_BxPxC: jax.Array,
    frame_mask_BxT: jax.Array,
    prompt_mask_BxP: jax.Array,
    key: jax.Array | None,
  ) -> jax.Array:
    cfg = self.config
    everything = jnp.ones(cfg.num_codebooks, bool)
    past = self.embedding.total(entries[:, :-1], everything)
    start = jnp.broadcast_to(self.sos, (past.shape[0], 1, cfg.dim))
    x_BxTxD = jnp.concatenate([start, past], axis=1)
    mask_BxTxT = causal_mask(frame_mask_BxT)
    mask_Bx1xP = prompt_mask_BxP[:, None, :]
    block = TemporalBlock(cfg, parent=None)

    def layer(params: Any, x: jax.Array, key: jax.Array | None) -> Any:
      x = constrain(x, "batch", None, None)
      return block.apply(
        {"params": params}, x, prompt_BxPxC, mask_BxTxT, mask_Bx1xP, key
      )

    x_BxTxD = x_BxTxD.astype(prompt_BxPxC.dtype)
    return self.temporal_norm(
      apply_stack(self.execution, layer, self.temporal, x_BxTxD, key)
    )

  def _depth(self, x_IxBxTxD: jax.Array, key: jax.Array | None) -> jax.Array:
    """Maps the I = 1 + U tokens of each frame to the U inputs of the heads.

    The last block skips the first token, whose output is not used.
    """
    cfg = self.config
    block = DepthBlock(cfg, parent=None)
    keys = split(key, 2)

    def layer(
      params: Any, x: jax.Array, key: jax.Array | None, last: int | None = None
    ) -> Any:
      x = constrain(x, None, "batch", None, None)
      return block.apply({"params": params}, x, key, last)[0]

    early = jax.tree.map(lambda p: p[:-1], self.depth)
    late = jax.tree.map(lambda p: p[-1], self.depth)
    x = apply_stack(self.execution, layer, early, x_IxBxTxD, keys[0])
    return self.depth_norm(layer(late, x, keys[1], cfg.codebooks_per_expert))


def summarise(
  kernel_CxD: jax.Array,
  bias_D: jax.Array,
  prompt_BxPxC: jax.Array,
  prompt_mask_BxP: jax.Array,
) -> jax.Array:
  """Affine of the masked mean of the prompt tokens, [B, D]."""
  mean_BxC = masked_mean(prompt_BxPxC, prompt_mask_BxP[..., None], axis=1)
  return affine(mean_BxC.astype(prompt_BxPxC.dtype), kernel_CxD, bias_D)


def stack(boxed: Any, count: int, name: str) -> Any:
  """`count` copies on a new leading axis, named in the metadata."""
  return jax.tree.map(
    lambda x: x.replace_boxed(
      jnp.broadcast_to(x.value, (count, *x.value.shape))
    ).add_axis(0, {nn.PARTITION_NAME: name}),
    boxed,
    is_leaf=is_boxed,
  )


def is_boxed(x: Any) -> bool:
  return isinstance(x, nn.meta.AxisMetadata)


def apply_stack(
  execution: Execution,
  layer: Callable,
  params: Any,
  x: jax.Array,
  key: jax.Array | None,
) -> jax.Array:
  """Applies the stacked layers to x, in a loop or unrolled."""
  if execution.remat:
    layer = jax.checkpoint(layer)
  count = jax.tree.leaves(params)[0].shape[0]
  if execution.scan_layers and count:
    keys = None if key is None else jax.random.split(key, count)

    def body(x: jax.Array, inputs: Any) -> tuple[jax.Array, None]:
      return layer(inputs[0], x, inputs[1]), None

    return jax.lax.scan(body, x, (params, keys))[0]
  for i, k in enumerate(split(key, count)):
    x = layer(jax.tree.map(lambda p, i=i: p[i], params), x, k)
  return x


def split(key: jax.Array | None, count: int) -> Any:
  """`count` keys, or as many Nones without a key."""
  return [None] * count if key is None else jax.random.split(key, count)
