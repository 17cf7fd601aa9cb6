"""Codes to the model's width: the codec's frozen tables and a trained map.

The embedding of code c in codebook n is `Proj_n(W_n codebook_n[c] + b_n)`
(docs/design.md, What Siren is). `codebook_n`, `W_n` and `b_n` are the codec's
and live in the collection "frozen", which no optimizer sees; `Proj_n` is
trained.

The composition is affine, so it is folded: `Proj_n W_n` maps the few channels
of a codebook entry directly to D, and a sum over codebooks is one product with
the concatenated entries. Our design; it replaces a gather of F-wide rows and an
F x D product for each codebook.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.common.precision import exact
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.layers import parameter

FROZEN = "frozen"


class CodeEmbedding(nn.Module):
  """All codebooks' embeddings of one expert."""

  config: ExpertConfig

  def setup(self) -> None:
    cfg = self.config
    books, width = cfg.num_codebooks, cfg.feature_dim
    self.kernel = parameter(
      self, "kernel", (None, "feature", "embed"), books, width, cfg.dim
    )
    self.bias = parameter(self, "bias", (None, "embed_vector"), books, cfg.dim)
    shapes = {
      "codebook_NxVx8": (books, cfg.codebook_size, cfg.code_dim),
      "weight_NxFx8": (books, width, cfg.code_dim),
      "bias_NxF": (books, width),
    }
    frozen: dict[str, Any] = {}
    for name, shape in shapes.items():
      table = nn.with_logical_partitioning(
        lambda s=shape: jnp.zeros(s), (None,) * len(shape)
      )
      frozen[name] = self.variable(FROZEN, name, table).value
    self.frozen = frozen

  def entries(self, codes_BxNxT: jax.Array) -> jax.Array:
    """Codebook entries [B, T, N, code_dim]."""
    books = self.frozen["codebook_NxVx8"]
    index = jnp.arange(books.shape[0])
    return books[index, codes_BxNxT.swapaxes(-1, -2)]

  @exact
  def folded(self) -> tuple[jax.Array, jax.Array]:
    """The map [N, code_dim, D] from entries to width D, its offset [N, D]."""
    frozen, kernel = self.frozen, self.kernel.astype(jnp.float32)
    folded = jnp.einsum("nfd,nfc->ncd", kernel, frozen["weight_NxFx8"])
    offset = jnp.einsum("nfd,nf->nd", kernel, frozen["bias_NxF"])
    return folded, offset + self.bias

  @exact
  def total(self, entries: jax.Array, chosen_N: jax.Array) -> jax.Array:
    """Sum of the embeddings of the chosen codebooks, [..., D].

    Args:
      entries: [..., N, code_dim], from `entries`.
      chosen_N: mask of the codebooks to sum; may be traced.
    """
    folded, offset = self.folded()
    folded = folded * chosen_N[:, None, None]
    flat = entries.reshape(*entries.shape[:-2], folded[..., 0].size)
    total = flat @ folded.reshape(-1, folded.shape[-1])
    return total + chosen_N.astype(offset.dtype) @ offset
