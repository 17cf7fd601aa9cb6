"""Shapes of the text tower, the audio tower and the shared space."""

from dataclasses import dataclass, field

from siren_jax.common.config import check_sizes
from siren_jax.common.errors import UserError

BAND_GROUPS = 16  # of the slower changes in a spectrogram's statistics
_MOST: dict[str, int | tuple[int, int]] = {
  "statistics": (0, 16384),
  "statistics_layers": 64,
  "layers": 256,
  "blocks": 256,
  "window": 65536,
  "num_mels": 1024,
}


@dataclass(frozen=True)
class TextConfig:
  """RoBERTa-shaped encoder (post-norm, learned positions).

  A `word_width` below `width` factorises the word table (ALBERT, 2020): more
  words for the same number of parameters.
  """

  vocab_size: int = 24576
  word_width: int = 64
  width: int = 128
  layers: int = 3
  heads: int = 4
  mlp_width: int = 512
  max_tokens: int = 32
  norm_eps: float = 1e-6

  def __post_init__(self) -> None:
    check_sizes("clap config", self, **_MOST)
    if self.width % self.heads:
      raise UserError(
        f"clap config width={self.width}: must be a multiple of"
        f" heads={self.heads}"
      )


@dataclass(frozen=True)
class AudioConfig:
  """Log-mel front end, and one of two towers (our design).

  A pyramid of convolutional stages: `widths[i]` and `blocks[i]` describe stage
  i; the first stage sees patches of `patch` x `patch` (frames x mel bands),
  each later one halves both axes.

  Or, with `statistics`, an MLP of that width and `statistics_layers` layers
  over statistics of the spectrogram, which needs fewer recordings per class
  (`siren_jax.clap.statistics`); `dropout` is its rate while training.
  """

  sample_rate: int = 16000
  window: int = 512
  hop: int = 256
  num_mels: int = 64
  patch: int = 4
  widths: tuple[int, ...] = (48, 96, 160)
  blocks: tuple[int, ...] = (1, 2, 2)
  kernel: int = 3
  heads: int = 4
  statistics: int = 0
  statistics_layers: int = 3
  dropout: float = 0.0

  def __post_init__(self) -> None:
    check_sizes("clap config", self, **_MOST)
    if not 0.0 <= self.dropout < 1.0:
      raise UserError(f"clap config dropout={self.dropout}: must be in [0, 1)")
    if not self.widths or len(self.widths) != len(self.blocks):
      raise UserError(
        f"clap config widths={self.widths}, blocks={self.blocks}: both need"
        " one entry per stage"
      )
    if self.num_mels % self.stride:
      raise UserError(
        f"clap config num_mels={self.num_mels}: must be a multiple of"
        f" {self.stride} (patch, doubled at each stage after the first)"
      )
    if self.statistics and self.num_mels % BAND_GROUPS:
      raise UserError(
        f"clap config num_mels={self.num_mels}: must be a multiple of"
        f" {BAND_GROUPS} (for statistics)"
      )
    if self.window % self.hop or (self.window - self.hop) % 2:
      raise UserError(
        f"clap config window={self.window}: must be a multiple of"
        f" hop={self.hop}, and window - hop must be even"
      )
    if not self.kernel % 2:
      raise UserError(f"clap config kernel={self.kernel}: must be odd")
    if self.widths[-1] % self.heads:
      raise UserError(
        f"clap config widths={self.widths}: the last must be a multiple of"
        f" heads={self.heads}"
      )

  @property
  def stride(self) -> int:
    """Frames (and mel bands) per cell of the last stage."""
    return self.patch * 2 ** (len(self.widths) - 1)


@dataclass(frozen=True)
class ClapConfig:
  """Both towers (our design) and the width E of the shared space."""

  kind: str = "nano"
  text: TextConfig = field(default_factory=TextConfig)
  audio: AudioConfig = field(default_factory=AudioConfig)
  embed_dim: int = 128

  def __post_init__(self) -> None:
    check_sizes("clap config", self)
