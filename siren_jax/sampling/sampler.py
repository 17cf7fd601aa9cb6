"""THE sampler: one jitted scan over frames, all experts, a batch of prompts.

Within a frame the experts' temporal paths depend on earlier frames only, so
they run together; only their small depth paths take turns (design.md 1.3).
What the prompt fixes (keys and values of the cross-attention, its summary)
and the codes' embeddings (a table of [N, V, D] an expert) is computed once.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from siren_jax.experts.attention import CrossAttention, attend
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.ensemble import null_prompt
from siren_jax.experts.expert import (
  DepthBlock,
  ResidualExpert,
  TemporalBlock,
)
from siren_jax.experts.layers import RMSNorm, linear, sinusoid
from siren_jax.sampling import methods
from siren_jax.sampling.methods import SamplingConfig

# Draws the next codebook's code of every row from its logits [B, V].
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
  """One expert, folded, with what it makes of the prompts.

  Attributes:
    params: its parameters.
    tables_NxVxD: embedding of every code.
    cross: for each layer, keys and values [B, P, heads, H].
    mask_Bx1xP: prompt mask.
    summary_BxD: prompt summary.
  """

  params: Any
  tables_NxVxD: jax.Array
  cross: list[tuple[jax.Array, jax.Array]]
  mask_Bx1xP: jax.Array
  summary_BxD: jax.Array


@flax.struct.dataclass
class State:
  """What a frame hands to the next.

  Attributes:
    frame: int32 scalar, frames made.
    x_KxBxD: temporal input of every expert.
    caches: for each expert and layer, keys and values [B, T, G, H].
  """

  frame: jax.Array
  x_KxBxD: list[jax.Array]
  caches: list[list[tuple[jax.Array, jax.Array]]]


@functools.partial(jax.jit, static_argnames=("config", "num_frames"))
def sample(
  params: Mapping[str, Any],
  config: ExpertConfig,
  sampling: SamplingConfig,
  prompt_BxPxC: jax.Array,
  prompt_mask_BxP: jax.Array,
  keys_B: jax.Array,
  num_frames: int,
) -> Samples:
  """Draws codes for every prompt.

  Args:
    params: stacked variables of `experts.init` or `weights`.
    keys_B: one random key a row; a row depends on nothing but its own prompt
      and key.
    num_frames: T, code frames to make.
  """
  batch = prompt_BxPxC.shape[0]
  chex.assert_shape(prompt_BxPxC, (batch, None, config.prompt_dim))
  chex.assert_shape(prompt_mask_BxP, prompt_BxPxC.shape[:2])
  chex.assert_shape(keys_B, (batch,))
  guided = sampling.guidance is not None
  if guided:
    null, null_mask = null_prompt(prompt_BxPxC, prompt_mask_BxP)
    prompt_BxPxC = jnp.concatenate([prompt_BxPxC, null])
    prompt_mask_BxP = jnp.concatenate([prompt_mask_BxP, null_mask])
  experts = prepare(params, config, prompt_BxPxC, prompt_mask_BxP)

  def frame(state: State, _):
    drawn = []

    def choose(n: int, logits: jax.Array) -> jax.Array:
      if guided:
        logits = methods.guide(*jnp.split(logits, 2), sampling.guidance)
      log_probs_BxV = methods.log_probs(logits, sampling)
      index = config.num_codebooks * state.frame + n
      keys = jax.vmap(jax.random.fold_in, (0, None))(keys_B, index)
      codes_B = methods.draw(keys, log_probs_BxV)
      chosen = jnp.take_along_axis(log_probs_BxV, codes_B[:, None], 1)[:, 0]
      drawn.append((codes_B, chosen))
      return jnp.tile(codes_B, 2) if guided else codes_B

    state = step(experts, config, state, choose)
    codes, chosen = zip(*drawn, strict=True)
    return state, (jnp.stack(codes, 1), jnp.stack(chosen, 1))

  state = start(experts, config, num_frames)
  _, (codes_TxBxN, chosen_TxBxN) = jax.lax.scan(
    frame, state, length=num_frames
  )
  to_rows = functools.partial(jnp.transpose, axes=(1, 2, 0))
  return Samples(to_rows(codes_TxBxN), to_rows(chosen_TxBxN))


def prepare(
  params: Mapping[str, Any],
  config: ExpertConfig,
  prompt_BxPxC: jax.Array,
  prompt_mask_BxP: jax.Array,
) -> list[Prompted]:
  """The experts, unstacked, with everything computed that no frame changes."""
  params = nn.unbox(params)
  prompt_BxPxC = prompt_BxPxC.astype(config.dtype)

  def one(variables) -> Prompted:
    expert = ResidualExpert(config).bind(variables)
    folded, offset = expert.embedding.folded()
    books = expert.embedding.frozen["codebook_NxVx8"]
    tables = jnp.einsum("nvc,ncd->nvd", books, folded) + offset[:, None]
    attention = CrossAttention(config, parent=None)
    cross = [
      attention.apply(
        {"params": layer["cross_attention"]},
        prompt_BxPxC,
        method=CrossAttention.keys_values,
      )
      for layer in _layers(variables["params"]["temporal"])
    ]
    return Prompted(
      params=variables["params"],
      tables_NxVxD=tables.astype(config.dtype),
      cross=cross,
      mask_Bx1xP=prompt_mask_BxP[:, None, :],
      summary_BxD=expert.summarise(prompt_BxPxC, prompt_mask_BxP),
    )

  return [
    one(jax.tree.map(lambda x, k=k: x[k], params))
    for k in range(config.num_experts)
  ]


def start(
  experts: list[Prompted], config: ExpertConfig, num_frames: int
) -> State:
  """State before the first frame, with room for `num_frames`."""
  batch, dtype = len(experts[0].summary_BxD), experts[0].summary_BxD.dtype
  empty = jnp.zeros((batch, num_frames, config.kv_heads, config.head_dim), dtype)
  width = (batch, config.dim)
  return State(
    frame=jnp.int32(0),
    x_KxBxD=[
      jnp.broadcast_to(e.params["sos"].astype(dtype), width) for e in experts
    ],
    caches=[
      [(empty, empty) for _ in range(config.temporal_layers)] for _ in experts
    ],
  )


def step(
  experts: list[Prompted], config: ExpertConfig, state: State, choose: Choose
) -> State:
  """One frame: the temporal paths, then depth paths and codes in turn."""
  temporal, caches = zip(
    *(
      _temporal(e, config, x_BxD, cache, state.frame)
      for e, x_BxD, cache in zip(
        experts, state.x_KxBxD, state.caches, strict=True
      )
    ),
    strict=True,
  )
  codes: list[jax.Array] = []
  for expert, x_BxD in zip(experts, temporal, strict=True):
    _depth(expert, config, x_BxD, codes, choose)
  return State(
    frame=state.frame + 1,
    x_KxBxD=[_embed(expert, codes) for expert in experts],
    caches=list(caches),
  )


def _temporal(expert, config, x_BxD, cache, frame):
  """One expert's temporal path for one frame: [B, D] and the new caches."""
  length = cache[0][0].shape[1]
  position_D = sinusoid(length, config.dim)[frame].astype(x_BxD.dtype)
  past_T = jnp.arange(length) <= frame
  x, new = x_BxD[:, None], []
  for params, (cross_k, cross_v), (k_cache, v_cache) in zip(
    _layers(expert.params["temporal"]), expert.cross, cache, strict=True
  ):
    block = TemporalBlock(config, parent=None).bind({"params": params})
    x = x + position_D
    query = block.cross_attention.project(block.cross_norm(x))
    heard = attend(query[..., None, :], cross_k, cross_v, expert.mask_Bx1xP)
    x = x + block.cross_attention.merge(heard)
    q, k, v = block.self_attention.project(block.self_norm(x))
    k_cache = jax.lax.dynamic_update_slice_in_dim(k_cache, k, frame, axis=1)
    v_cache = jax.lax.dynamic_update_slice_in_dim(v_cache, v, frame, axis=1)
    past = attend(q, k_cache, v_cache, past_T[None, None])
    x = x + block.self_attention.merge(past)
    x = x + block.ffn(block.ffn_norm(x))
    new.append((k_cache, v_cache))
  return _norm(config, expert.params["temporal_norm"], x[:, 0]), new


def _depth(expert, config, temporal_BxD, codes, choose) -> None:
  """Draws the expert's codebooks for this frame; appends them to `codes`."""
  layers = _layers(expert.params["depth"])
  caches = [([], []) for _ in layers]
  lower_BxD = expert.summary_BxD + _embed(expert, codes)
  tokens = [temporal_BxD, lower_BxD]
  for i in range(config.codebooks_per_expert):
    if i:
      lower_BxD = lower_BxD + expert.tables_NxVxD[len(codes) - 1][codes[-1]]
      tokens = [lower_BxD]
    x_BxD = _depth_tokens(config, layers, caches, tokens)
    x_BxD = _norm(config, expert.params["depth_norm"], x_BxD)
    logits_BxV = linear(x_BxD, expert.params["heads"][i])
    codes.append(choose(len(codes), logits_BxV))


def _depth_tokens(config, layers, caches, tokens) -> jax.Array:
  """New tokens [B, D] through the depth layers; the last one's output."""
  first = len(caches[0][0])
  positions = sinusoid(config.codebooks_per_expert + 1, config.dim)
  for params, (keys, values) in zip(layers, caches, strict=True):
    block = DepthBlock(config, parent=None).bind({"params": params})
    outs = []
    for j, x in enumerate(tokens, first):
      x = x + positions[j].astype(x.dtype)
      q, k, v = block.self_attention.project(block.self_norm(x)[:, None])
      keys.append(k)
      values.append(v)
      seen = jnp.ones((1, 1, len(keys)), bool)
      heard = attend(q, jnp.concatenate(keys, 1), jnp.concatenate(values, 1), seen)
      x = x + block.self_attention.merge(heard)[:, 0]
      outs.append(x + block.ffn(block.ffn_norm(x)))
    tokens = outs
  return tokens[-1]


def _embed(expert: Prompted, codes: list[jax.Array]) -> jax.Array:
  """Sum of the embeddings of the first codebooks' codes, [B, D]."""
  total = jnp.zeros_like(expert.summary_BxD)
  for n, codes_B in enumerate(codes):
    total = total + expert.tables_NxVxD[n][codes_B]
  return total


def _layers(stacked) -> list[Any]:
  count = jax.tree.leaves(stacked)[0].shape[0]
  return [jax.tree.map(lambda p, i=i: p[i], stacked) for i in range(count)]


def _norm(config, params, x):
  return RMSNorm(config.norm_eps, parent=None).apply({"params": params}, x)
