"""What an audio set is made of."""

import dataclasses
import math

import numpy as np

from siren_jax.audio import loudness
from siren_jax.audio.decoding import RATES
from siren_jax.audio.sound_files import MAX_SECONDS
from siren_jax.common.errors import UserError
from siren_jax.common.rng import check_seed
from siren_jax.data.synthetic import sounds

_FADED_SECONDS = 0.01  # loudness.level fades a sound in and out
_SEQUENCE_SECONDS = 2.0  # of three sounds and the gaps between them
_BLOCK_SECONDS = 0.4  # of BS.1770; blocks of silence are not counted


@dataclasses.dataclass(frozen=True)
class AudioConfig:
  """What prepare_audio makes.

  Attributes:
    sample_rate: of the set, in Hz.
    seconds: longer recordings are cut into windows of this length.
    captions: at most so many for each record.
    synthetic: number of procedural sounds added.
    mixtures: number of mixtures of two training recordings added.
    sequences: number of sequences of two or three of them added.
    layouts: whether training recordings shorter than `seconds` are laid out:
      one-shots several times with gaps, steady sounds looped.
    balance: training recordings of a kind that has fewer are copied, with other
      captions and layouts, up to this number; 20 copies of each at most.
    loudness: integrated loudness of sounds in LUFS; None: unchanged.
    validation_fold: fold held out for validation; default: the last one.
    every_kind: whether recordings of kinds that only validation would have are
      used for training instead.
    max_seconds: longer recordings are skipped.
    strict: stop at the first bad row or file.
    seed: determines all random choices.
  """

  sample_rate: int = 16000
  seconds: float = 5.0
  captions: int = 8
  synthetic: int = 0
  mixtures: int = 0
  sequences: int = 0
  layouts: bool = False
  balance: int = 0
  loudness: float | None = None
  validation_fold: str = ""
  every_kind: bool = False
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
        f"seconds={self.seconds}: must be at least one sample and"
        f" at most {MAX_SECONDS:g} s"
      )
    loudness.check_target(self.loudness)
    for name in ("synthetic", "mixtures", "sequences", "balance"):
      value = getattr(self, name)
      if value < 0:
        raise UserError(f"{name}={value}: must be 0 or more")
    if self.sequences and self.seconds < _SEQUENCE_SECONDS:
      raise UserError(
        f"seconds={self.seconds:g}: sequences need {_SEQUENCE_SECONDS:g} s or"
        " more; raise it, or leave sequences out"
      )
    if self.synthetic:
      sounds.check(self.sample_rate, self.seconds)
    check_seed(self.seed)

  @property
  def size(self) -> int:
    """Samples of a window."""
    return round(self.seconds * self.sample_rate)

  def levelled(self, audio_S: np.ndarray) -> np.ndarray:
    """The sound at the set's loudness, if it has one; float32.

    A short sound is measured together with some of the silence after it.
    """
    if self.loudness is None:
      return audio_S
    # Silence at both ends, which is faded instead of the sound.
    before = round(_FADED_SECONDS * self.sample_rate)
    is_short = audio_S.size < self.size
    after = round(_BLOCK_SECONDS * self.sample_rate) if is_short else before
    padded_S = np.pad(audio_S, (before, after))
    padded_S = loudness.level(padded_S, self.sample_rate, self.loudness)
    return padded_S[before : before + audio_S.size]
