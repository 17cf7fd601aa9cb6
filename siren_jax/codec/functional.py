"""The codec as pure functions of parameters, and bound to them for users."""

import dataclasses
import os
from typing import Any

import chex
import jax
import jax.numpy as jnp

from siren_jax.codec.config import SpectralCodecConfig
from siren_jax.codec.spectral import SpectralCodec
from siren_jax.common import parts


def init(key: jax.Array, config: SpectralCodecConfig) -> Any:
  """Random parameters."""
  audio_BxS = jnp.zeros((1, 2 * config.hop))
  return SpectralCodec(config).init(key, audio_BxS)["params"]


def encode(
  params: Any, config: SpectralCodecConfig, audio_BxS: jax.Array
) -> jax.Array:
  """Codes [B, N, T] int32 of audio [B, S]; zeros fill up the last frame."""
  chex.assert_rank(audio_BxS, 2)
  audio = jnp.pad(audio_BxS, ((0, 0), (0, -audio_BxS.shape[1] % config.hop)))
  return SpectralCodec(config).apply(
    {"params": params}, audio, method=SpectralCodec.encode
  )


def decode(
  params: Any, config: SpectralCodecConfig, codes_BxNxT: jax.Array
) -> jax.Array:
  """Audio [B, T * hop] in [-1, 1] of codes; the same codes, the same audio."""
  chex.assert_rank(codes_BxNxT, 3)
  noise_S = fixed_noise(config, codes_BxNxT.shape[2])
  noise_BxS = jnp.broadcast_to(noise_S, (len(codes_BxNxT), len(noise_S)))
  audio = SpectralCodec(config).apply(
    {"params": params}, codes_BxNxT, noise_BxS, method=SpectralCodec.decode
  )
  return jnp.clip(audio, -1, 1)


def fixed_noise(config: SpectralCodecConfig, num_frames: int) -> jax.Array:
  """The white noise of `decode` [T * hop].

  Drawn frame by frame, so that a longer clip begins as a shorter one does.
  """
  keys_T = jax.vmap(jax.random.fold_in, (None, 0))(
    jax.random.key(0), jnp.arange(num_frames)
  )
  draw = jax.vmap(lambda key: jax.random.normal(key, (config.hop,)))
  return draw(keys_T).reshape(-1)


def embedding_tables(params: Any) -> dict[str, jax.Array]:
  """The decode embedding of every codebook, the experts' frozen input.

  Code c of codebook n stands for `weight[n] @ codebook[n, c] + bias[n]`.
  """
  stages = params["quantizer"]
  stages = [stages[f"stage_{n}"] for n in range(len(stages))]
  return {
    "codebook_NxVx8": jnp.stack([s["codebook"] for s in stages]),
    "weight_NxFx8": jnp.stack([s["project_out"]["kernel"].T for s in stages]),
    "bias_NxF": jnp.stack([s["project_out"]["bias"] for s in stages]),
  }


@dataclasses.dataclass(frozen=True)
class Codec:
  """A codec with its parameters. `encode` and `decode` are jitted."""

  config: SpectralCodecConfig
  params: Any

  def encode(self, audio_BxS: jax.Array) -> jax.Array:
    """Codes [B, N, T] int32 of audio [B, S] in [-1, 1]."""
    return _encode(self.params, self.config, jnp.asarray(audio_BxS))

  def decode(self, codes_BxNxT: jax.Array) -> jax.Array:
    """Audio [B, T * hop] in [-1, 1] of codes [B, N, T]."""
    return _decode(self.params, self.config, jnp.asarray(codes_BxNxT))


def load(folder: str | os.PathLike) -> Codec:
  """Codec of a bundle folder or of a `train-codec` work directory.

  Raises:
    UserError: there is none, or a tensor does not fit the config.
  """
  return Codec(*parts.load(folder, "codec", SpectralCodecConfig, init))


_encode = jax.jit(encode, static_argnames="config")
_decode = jax.jit(decode, static_argnames="config")
