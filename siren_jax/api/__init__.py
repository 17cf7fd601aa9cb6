"""Siren for users: words to sound, sound to codes, codes to sound."""

from siren_jax.api.loading import load
from siren_jax.api.model import BATCH_SIZE
from siren_jax.api.notebook import play, save, show
from siren_jax.api.siren import Siren
from siren_jax.api.sounds import Batch, Sound

__all__ = [
  "BATCH_SIZE",
  "Batch",
  "Siren",
  "Sound",
  "load",
  "play",
  "save",
  "show",
]
