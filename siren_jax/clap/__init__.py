"""Words and sounds in one space: `encode_text`, `encode_audio`, `load`."""

from siren_jax.clap.config import AudioConfig, ClapConfig, TextConfig
from siren_jax.clap.model import (
  Clap,
  Config,
  encode_audio,
  encode_text,
  init,
  load,
)

__all__ = [
  "AudioConfig",
  "Clap",
  "ClapConfig",
  "Config",
  "TextConfig",
  "encode_audio",
  "encode_text",
  "init",
  "load",
]
