"""What an audio set is made of."""

import dataclasses
import math

from siren_jax.audio.decoding import RATES
from siren_jax.audio.sound_files import MAX_SECONDS
from siren_jax.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class AudioConfig:
  """What prepare_audio makes.

  Attributes:
    sample_rate: of the set, in Hz.
    seconds: longer recordings are cut into windows of this length.
    captions: at most so many for each record.
    synthetic: number of procedural sounds added.
    mixtures: number of mixtures of two training recordings added.
    validation_fold: fold kept for validation; default the last one.
    max_seconds: longer recordings are left out.
    strict: the first bad row or file ends the run.
    seed: fixes captions, synthetic sounds and mixtures.
  """

  sample_rate: int = 16000
  seconds: float = 5.0
  captions: int = 8
  synthetic: int = 0
  mixtures: int = 0
  validation_fold: str = ""
  max_seconds: float = MAX_SECONDS
  strict: bool = False
  seed: int = 0

  def __post_init__(self) -> None:
    for name in ("sample_rate", "seconds", "captions", "max_seconds"):
      value = getattr(self, name)
      if not 0 < value < math.inf:
        raise UserError(f"{name}={value}: must be above 0")
    low, high = RATES
    if not low <= self.sample_rate <= high:
      raise UserError(
        f"sample_rate={self.sample_rate}: must be {low} to {high} Hz"
      )
    if not 1 <= self.size <= MAX_SECONDS * self.sample_rate:
      raise UserError(
        f"seconds={self.seconds}: must be one sample at least and"
        f" {MAX_SECONDS:g} s at most"
      )
    for name in ("synthetic", "mixtures"):
      value = getattr(self, name)
      if value < 0:
        raise UserError(f"{name}={value}: must be 0 or more")

  @property
  def size(self) -> int:
    """Samples of a window."""
    return round(self.seconds * self.sample_rate)
