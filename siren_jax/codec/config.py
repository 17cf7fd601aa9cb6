"""Sizes of the codecs."""

import dataclasses
import math

from siren_jax.common.config import check_sizes
from siren_jax.common.errors import UserError

_LAYERS = 256
_LIMITS: dict[str, int | tuple[int, int]] = {
  "fft_size": 65536,
  "encoder_frame_layers": _LAYERS,
  "encoder_code_layers": _LAYERS,
  "decoder_frame_layers": _LAYERS,
  "decoder_code_layers": _LAYERS,
  "bands": 1024,
  "voices": (0, 16),
  "num_codebooks": 64,
  "beam": 64,
  "strides": 1024,
}


@dataclasses.dataclass(frozen=True)
class SpectralCodecConfig:
  """A codec that works at the frame rate (docs/design.md, Decisions).

  The STFT has a frame every `hop_length` samples, `code_stride` of them share
  one code frame, and the decoder synthesises `synthesis_stride` inverse-STFT
  frames for each STFT frame.

  Attributes:
    sample_rate: Hz of the audio in and out, mono.
    hop_length: samples between analysis frames.
    fft_size: samples of a window, in analysis and in synthesis.
    code_stride: analysis frames in one code frame.
    synthesis_stride: inverse-STFT frames in one analysis frame.
    frame_width, frame_layers: ConvNeXt blocks at the analysis frame rate.
    code_width, code_layers: ConvNeXt blocks at the code frame rate.
    expansion: ratio of hidden to outer width of a block.
    kernel_size: frames of a block's depthwise filter.
    bands: of the spectral envelope in synthesis.
    voices: harmonic series in addition to the noise (codec/voices.py).
    num_codebooks, codebook_size, code_dim, feature_dim: residual quantizer.
    beam: beam width of the search for a frame's codes.
  """

  kind: str = "spectral"
  sample_rate: int = 16000
  hop_length: int = 320
  fft_size: int = 640
  code_stride: int = 2
  synthesis_stride: int = 2
  frame_width: int = 256
  encoder_frame_layers: int = 2
  encoder_code_layers: int = 3
  decoder_frame_layers: int = 4
  decoder_code_layers: int = 4
  code_width: int = 320
  expansion: int = 3
  kernel_size: int = 7
  bands: int = 64
  voices: int = 0
  num_codebooks: int = 12
  codebook_size: int = 1024
  code_dim: int = 8
  feature_dim: int = 96
  beam: int = 1

  def __post_init__(self) -> None:
    if self.kind != "spectral":
      raise UserError(f"codec kind {self.kind!r} is not known; use 'spectral'")
    check_sizes("codec", self, **_LIMITS)
    if self.hop_length % self.synthesis_stride:
      raise UserError(
        f"codec hop_length {self.hop_length} is not a multiple of "
        f"synthesis_stride {self.synthesis_stride}; change one of them"
      )
    for hop in (self.hop_length, self.synthesis_hop):
      if self.fft_size % hop or (self.fft_size - hop) % 2:
        raise UserError(
          f"codec fft_size {self.fft_size} must be a multiple of "
          f"hop {hop}, and fft_size - hop must be even"
        )

  @property
  def hop(self) -> int:
    """Samples of audio in one code frame."""
    return self.hop_length * self.code_stride

  @property
  def synthesis_hop(self) -> int:
    """Samples between inverse-STFT frames."""
    return self.hop_length // self.synthesis_stride

  @property
  def frame_rate(self) -> float:
    """Code frames a second."""
    return self.sample_rate / self.hop


@dataclasses.dataclass(frozen=True)
class DacConfig:
  """The Descript Audio Codec; defaults are the published 16 kHz model's.

  Attributes:
    sample_rate: Hz of the audio in and out, mono.
    encoder_width: channels at the waveform's rate; doubled by every stride.
    decoder_width: channels at the frame rate; halved by every stride.
    strides: of the encoder; the decoder reverses them.
    num_codebooks, codebook_size, code_dim: residual quantizer.
  """

  kind: str = "dac"
  sample_rate: int = 16000
  encoder_width: int = 64
  decoder_width: int = 1536
  strides: tuple[int, ...] = (2, 4, 5, 8)
  num_codebooks: int = 12
  codebook_size: int = 1024
  code_dim: int = 8

  def __post_init__(self) -> None:
    if not 1 <= len(self.strides) <= 16:
      raise UserError(f"codec strides={self.strides}: give 1 to 16 of them")
    check_sizes("codec", self, **_LIMITS)

  @property
  def feature_dim(self) -> int:
    """Width of the latents."""
    return self.encoder_width * 2 ** len(self.strides)

  @property
  def hop(self) -> int:
    """Samples of audio in one code frame."""
    return math.prod(self.strides)

  @property
  def hop_length(self) -> int:
    """Samples between analysis frames, which here are the code frames."""
    return self.hop

  @property
  def rest(self) -> int:
    """Samples by which decoded audio is shorter than its frames.

    Every odd stride loses one sample at its own rate.
    """
    rate, rest = 1, 0
    for stride in self.strides:
      rest += rate * (stride % 2)
      rate *= stride
    return rest

  @property
  def frame_rate(self) -> float:
    """Code frames a second."""
    return self.sample_rate / self.hop


CodecConfig = SpectralCodecConfig | DacConfig  # `kind` says which
