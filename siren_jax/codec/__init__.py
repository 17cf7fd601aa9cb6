"""Audio to codes and back: `encode`, `decode`, `load`."""

from siren_jax.codec.config import SpectralCodecConfig
from siren_jax.codec.functional import (
  Codec,
  decode,
  embedding_tables,
  encode,
  init,
  load,
)

__all__ = [
  "Codec",
  "SpectralCodecConfig",
  "decode",
  "embedding_tables",
  "encode",
  "init",
  "load",
]
