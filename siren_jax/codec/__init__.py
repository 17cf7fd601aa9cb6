"""Codecs: audio to codes and back; our spectral codec and Descript's DAC."""

from siren_jax.codec.config import (
  CodecConfig,
  DacConfig,
  SpectralCodecConfig,
)
from siren_jax.codec.model import (
  Codec,
  decode,
  embedding_tables,
  encode,
  init,
  load,
)

__all__ = [
  "Codec",
  "CodecConfig",
  "DacConfig",
  "SpectralCodecConfig",
  "decode",
  "embedding_tables",
  "encode",
  "init",
  "load",
]
