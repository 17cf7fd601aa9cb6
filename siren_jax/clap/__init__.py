"""CLAP: text and audio to one embedding space; ours and LAION's."""

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
