"""What the codec can be handed from outside."""

import numpy as np

from siren_jax.codec.config import CodecConfig
from siren_jax.common.errors import UserError


def check_codes(codes_BxNxT: np.ndarray, config: CodecConfig) -> None:
  """Refuses what cannot be codes [B, N, T] of this codec.

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
