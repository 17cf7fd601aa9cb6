"""Residual vector quantizer with factorised, l2-normalised codes.

After DAC (Kumar et al. 2023, section 3.2): a residual is projected to a few
dimensions, matched to the code of smallest angle, and projected back. Our
addition: a loss that makes each stage reconstruct its residual, so that
residuals shrink from the first training steps.
"""

import functools
import operator
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.codec.config import CodecConfig
from siren_jax.common.precision import exact


class Quantized(NamedTuple):
  """Result of the quantizer.

  Attributes:
    latents_BxTxF: sum of the code embeddings, with straight-through gradients.
    codes_BxNxT: int32.
    commitment: scalar loss, pulls the encoder to the codes.
    codebook: scalar loss, pulls codes to the projected residuals and, with a
      quarter of the weight, the residuals to the codes, lest they drift (van
      den Oord et al. 2017).
    rebuilding: scalar loss, makes each stage reconstruct its residual.
    residual: scalar, share of the latents' energy left after all stages.
    projected_NxBxTx8: residuals in code space, where dead codes restart.
  """

  latents_BxTxF: jax.Array
  codes_BxNxT: jax.Array
  commitment: jax.Array
  codebook: jax.Array
  rebuilding: jax.Array
  residual: jax.Array
  projected_NxBxTx8: jax.Array


class Renderings(NamedTuple):
  """Audio of the same latents, rendered several times for training.

  Attributes:
    one_BxS, other_BxS: two samples, for the energy distance.
    steady_BxS: like the first, for the swing.
    losses: of the voices, by name; empty without voices.
  """

  one_BxS: jax.Array
  other_BxS: jax.Array
  steady_BxS: jax.Array
  losses: dict[str, jax.Array]


def _unit(x: jax.Array) -> jax.Array:
  return x * jax.lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + 1e-12)


class Codebook(nn.Module):
  """One stage: F -> code_dim -> nearest code -> F."""

  size: int
  code_dim: int
  feature_dim: int

  def setup(self) -> None:
    self.codebook = self.param(
      "codebook", nn.initializers.normal(1.0), (self.size, self.code_dim)
    )
    self.project_in = nn.Dense(self.code_dim)
    # Small: an untrained stage adds almost nothing.
    small = nn.initializers.variance_scaling(1e-3, "fan_in", "normal")
    self.project_out = nn.Dense(self.feature_dim, kernel_init=small)

  @exact
  def similarity(self, projected: jax.Array) -> jax.Array:
    """Cosines with the codes [..., V]."""
    return _unit(projected) @ _unit(self.codebook).T

  @exact
  def nearest(self, residual: jax.Array, count: int) -> jax.Array:
    """The `count` codes of smallest angle (or all), nearest first."""
    similarity = self.similarity(self.project_in(residual))
    return jax.lax.top_k(similarity, min(count, self.size))[1]

  @exact
  def embed(self, codes: jax.Array) -> jax.Array:
    """Codes to features [..., F]."""
    return self.project_out(self.codebook[codes])

  @exact
  def __call__(
    self, residual_BxTxF: jax.Array
  ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    projected = self.project_in(residual_BxTxF)
    codes_BxT = jnp.argmax(self.similarity(projected), -1).astype(jnp.int32)
    chosen = self.codebook[codes_BxT]
    straight = projected + jax.lax.stop_gradient(chosen - projected)
    return self.project_out(straight), codes_BxT, projected, chosen


class ResidualQuantizer(nn.Module):
  """A sequence of codebooks, each quantizing the residual of the previous."""

  num_codebooks: int
  codebook_size: int
  code_dim: int
  feature_dim: int

  def setup(self) -> None:
    self.stages = [
      Codebook(
        self.codebook_size, self.code_dim, self.feature_dim, name=f"stage_{n}"
      )
      for n in range(self.num_codebooks)
    ]

  def __call__(self, x_BxTxF: jax.Array, depth_B: jax.Array) -> Quantized:
    """Quantizes with the first `depth_B[b]` codebooks of each row.

    A depth above the number of codebooks leaves the row unquantized.
    """
    stop = jax.lax.stop_gradient
    residual = stop(x_BxTxF)
    scale = jnp.mean(residual**2) + 1e-6
    total = jnp.zeros_like(residual)
    codes, projections = [], []
    codebook = rebuilding = jnp.zeros(())
    for n, stage in enumerate(self.stages):
      features, codes_BxT, projected, chosen = stage(residual)
      codebook += jnp.mean((stop(projected) - chosen) ** 2)
      codebook += 0.25 * jnp.mean((projected - stop(chosen)) ** 2)
      rebuilding += jnp.mean((residual - features) ** 2) / scale
      features = stop(features)
      residual = residual - features
      used_B = (n < depth_B).astype(residual.dtype)
      total = total + features * used_B[:, None, None]
      codes.append(codes_BxT)
      projections.append(stop(projected))
    bypassed_B = (depth_B > len(self.stages))[:, None, None]
    total = jnp.where(bypassed_B, stop(x_BxTxF), total)
    return Quantized(
      latents_BxTxF=x_BxTxF + total - stop(x_BxTxF),
      codes_BxNxT=jnp.stack(codes, 1),
      commitment=jnp.mean((x_BxTxF - total) ** 2) / scale,
      codebook=codebook / len(self.stages),
      rebuilding=rebuilding / len(self.stages),
      residual=jnp.mean(residual**2) / scale,
      projected_NxBxTx8=jnp.stack(projections),
    )

  def search(self, x_BxTxF: jax.Array, beam: int) -> jax.Array:
    """Codes [B, N, T] whose sum approximates the latents.

    A beam search: each of the best sequences is extended by its `beam` nearest
    codes, and the sequences with the least residual energy are kept. A beam of
    1 gives the codes of `__call__`. Axis I: sequences.
    """
    residual_BxTxIxF = x_BxTxF[:, :, None]
    codes_BxTxIxN = jnp.zeros((*residual_BxTxIxF.shape[:3], 0), jnp.int32)
    for stage in self.stages:
      new = stage.nearest(residual_BxTxIxF, beam)
      left = residual_BxTxIxF[..., None, :] - stage.embed(new)
      old = jnp.broadcast_to(
        codes_BxTxIxN[..., None, :], (*new.shape, codes_BxTxIxN.shape[-1])
      )
      codes = jnp.concatenate([old, new[..., None]], -1)
      # The candidates of all sequences, side by side.
      left, codes = (
        x.reshape(*x_BxTxF.shape[:2], -1, x.shape[-1]) for x in (left, codes)
      )
      energy_BxTxI = jnp.sum(left**2, -1)
      _, kept = jax.lax.top_k(-energy_BxTxI, min(beam, left.shape[2]))
      residual_BxTxIxF, codes_BxTxIxN = (
        jnp.take_along_axis(x, kept[..., None], 2) for x in (left, codes)
      )
    return jnp.swapaxes(codes_BxTxIxN[:, :, 0], 1, 2)

  def embed(self, codes_BxNxT: jax.Array) -> jax.Array:
    """Codes to latents [B, T, F]; also of the first codebooks only."""
    rows = zip(self.stages, jnp.moveaxis(codes_BxNxT, 1, 0), strict=False)
    parts = (stage.embed(codes_BxT) for stage, codes_BxT in rows)
    return functools.reduce(operator.add, parts)


class ResidualCodec(nn.Module):
  """Base of the codecs: an encoder, a residual quantizer and a decoder.

  Subclasses set up `encoder` and `quantizer`, and define `decode_window`,
  `renderings`, `reach`, `context` and `first_phase`.
  """

  config: CodecConfig

  @property
  def beam(self) -> int:
    """Beam width of `ResidualQuantizer.search`."""
    return 1

  @property
  def look_back(self) -> int:
    """Frames before a frame that its audio depends on."""
    before: int = self.context[0]
    return before

  @property
  def look_ahead(self) -> int:
    """Frames after a frame that its audio depends on."""
    after: int = self.context[1]
    return after

  def quantize(self, audio_BxS: jax.Array, depth_B: jax.Array) -> Quantized:
    """Audio [B, S] quantized with the first `depth_B[b]` codebooks per row."""
    quantized: Quantized = self.quantizer(self.encoder(audio_BxS), depth_B)
    return quantized

  def encode(self, audio_BxS: jax.Array) -> jax.Array:
    """Codes [B, N, T] of audio [B, S]."""
    if self.beam == 1:  # The same codes, without the sorting of the search.
      depth_B = jnp.full(len(audio_BxS), self.config.num_codebooks)
      return self.quantize(audio_BxS, depth_B).codes_BxNxT
    codes: jax.Array = self.quantizer.search(self.encoder(audio_BxS), self.beam)
    return codes

  def decode(self, codes_BxNxT: jax.Array) -> jax.Array:
    """Audio [B, T * hop]; deterministic."""
    phase_BxY = self.first_phase
    if phase_BxY is not None:
      rows = len(codes_BxNxT)
      phase_BxY = jnp.broadcast_to(phase_BxY, (rows, *phase_BxY.shape))
    return self.decode_window(codes_BxNxT, 0, None, phase_BxY, 0)[0]

  def embed(self, codes_BxNxT: jax.Array) -> jax.Array:
    """Latents [B, T, F] of codes; also of the first codebooks only."""
    latents: jax.Array = self.quantizer.embed(codes_BxNxT)
    return latents

  def __call__(self, audio_BxS: jax.Array) -> jax.Array:
    """Uses every parameter (for `init`)."""
    audio: jax.Array = self.decode(self.encode(audio_BxS))
    return audio
