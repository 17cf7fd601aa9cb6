"""Siren for users: words to sound, sound to codes, codes to sound."""

from siren_jax.api.siren import BATCH_SIZE, Batch, Siren, Sound, load

__all__ = ["BATCH_SIZE", "Batch", "Siren", "Sound", "load"]
