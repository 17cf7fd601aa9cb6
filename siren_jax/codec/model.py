"""The codec as pure functions of parameters, and bound to them for users."""

import dataclasses
import os
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.codec.config import CodecConfig, DacConfig
from siren_jax.codec.dac import Dac
from siren_jax.codec.spectral import SpectralCodec
from siren_jax.common import mesh as meshes
from siren_jax.common.errors import UserError
from siren_jax.common.precision import exact
from siren_jax.storage import components


def module(config: CodecConfig) -> SpectralCodec | Dac:
  """The codec of that kind."""
  return Dac(config) if isinstance(config, DacConfig) else SpectralCodec(config)


def init(key: jax.Array, config: CodecConfig) -> Any:
  """Random parameters."""
  audio_BxS = jnp.zeros((1, 2 * config.hop))
  return module(config).init(key, audio_BxS)["params"]


@exact
def encode(params: Any, config: CodecConfig, audio_BxS: jax.Array) -> jax.Array:
  """Codes [B, N, T] int32 of audio [B, S]; the last frame is zero padded."""
  chex.assert_rank(audio_BxS, 2)
  audio = jnp.pad(audio_BxS, ((0, 0), (0, -audio_BxS.shape[1] % config.hop)))
  codes: Any = module(config).apply({"params": params}, audio, method="encode")
  return codes


def decode(
  params: Any, config: CodecConfig, codes_BxNxT: jax.Array
) -> jax.Array:
  """Audio [B, T * hop] of a sound's codes; deterministic.

  Nothing is clipped: samples may exceed [-1, 1].
  """
  chex.assert_rank(codes_BxNxT, 3)
  audio: Any = module(config).apply(
    {"params": params}, codes_BxNxT, method="decode"
  )
  return audio


def decode_window(
  params: Any,
  config: CodecConfig,
  codes_BxNxT: jax.Array,
  first_frame: int | jax.Array,
  num_frames: int | jax.Array,
  phase_BxY: jax.Array | None,
  known_frame: int | jax.Array,
) -> tuple[jax.Array, jax.Array | None]:
  """Audio [B, T * hop] of a window of a longer sound.

  Args:
    codes_BxNxT: of the window.
    first_frame: frame of the longer sound where the window starts.
    num_frames: length of the longer sound. Frames of the window outside it are
      ignored.
    phase_BxY: of the voices in `known_frame`; `first_phase` of the codec's
      module at the start of a sound. None: the codec has no voices.
    known_frame: frame of the window whose phases are given.

  Returns:
    Audio, and the phases at the start of every frame [B, T, Y] or None.
  """
  result: Any = module(config).apply(
    {"params": params},
    codes_BxNxT,
    first_frame,
    num_frames,
    phase_BxY,
    known_frame,
    method="decode_window",
  )
  return result


def embedding_tables(params: Any) -> dict[str, jax.Array]:
  """The decoder's embedding of each codebook, the experts' frozen input.

  Code c of codebook n has embedding `weight[n] @ codebook[n, c] + bias[n]`.
  """
  stages = params["quantizer"]
  stages = [stages[f"stage_{n}"] for n in range(len(stages))]
  return {
    "codebook_NxVx8": jnp.stack([s["codebook"] for s in stages]),
    "weight_NxFx8": jnp.stack([s["project_out"]["kernel"].T for s in stages]),
    "bias_NxF": jnp.stack([s["project_out"]["bias"] for s in stages]),
  }


def check_codes(codes_BxNxT: np.ndarray, config: CodecConfig) -> None:
  """Checks that these can be codes [B, N, T] of this codec.

  Raises:
    UserError: wrong shape, no integers, or outside the codebooks.
  """
  shape = list(codes_BxNxT.shape)
  if len(shape) != 3 or shape[1] != config.num_codebooks or 0 in shape:
    raise UserError(
      f"codes of shape {shape}; this codec reads [B, N, T] with "
      f"N = {config.num_codebooks}"
    )
  if not np.issubdtype(codes_BxNxT.dtype, np.integer):
    raise UserError(f"codes of type {codes_BxNxT.dtype}; give integers")
  low, high = codes_BxNxT.min(), codes_BxNxT.max()
  if low < 0 or high >= config.codebook_size:
    raise UserError(
      f"codes from {low} to {high}; this codec knows 0 to "
      f"{config.codebook_size - 1}"
    )


@dataclasses.dataclass(frozen=True)
class Codec:
  """A codec with its parameters, on the device.

  `encode` and `decode` are jitted.
  """

  config: CodecConfig
  params: Any

  def __post_init__(self) -> None:
    object.__setattr__(self, "params", jax.device_put(self.params))

  def encode(self, audio_BxS: jax.Array | np.ndarray) -> jax.Array:
    """Codes [B, N, T] int32 of audio [B, S] in [-1, 1]."""
    return _encode(self.params, self.config, meshes.put(audio_BxS))

  def decode(self, codes_BxNxT: jax.Array | np.ndarray) -> jax.Array:
    """Audio [B, T * hop] of codes [B, N, T]; see `decode`."""
    return _decode(self.params, self.config, meshes.put(codes_BxNxT))

  def decode_window(
    self,
    codes_BxNxT: jax.Array | np.ndarray,
    first_frame: int,
    num_frames: int,
    phase_BxY: np.ndarray | None,
    known_frame: int,
  ) -> tuple[jax.Array, jax.Array | None]:
    """See `decode_window`."""
    window = codes_BxNxT, first_frame, num_frames, phase_BxY, known_frame
    return _decode_window(self.params, self.config, *meshes.put(window))


def load(folder: str | os.PathLike) -> Codec:
  """Codec of a bundle (folder or name) or of a `train-codec` work directory.

  Raises:
    UserError: there is none, or a tensor does not fit the config or is not
      finite.
  """
  either: Any = CodecConfig
  return Codec(*components.load(folder, "codec", either, init))


_encode = jax.jit(encode, static_argnames="config")
_decode = jax.jit(decode, static_argnames="config")
_decode_window = jax.jit(decode_window, static_argnames="config")
