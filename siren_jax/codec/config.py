"""Sizes of the spectral codec."""

import dataclasses

from siren_jax.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class SpectralCodecConfig:
  """A codec that works at the frame rate (our design; design.md 3).

  Audio is framed by an STFT every `hop_length` samples, `code_stride` of those
  frames share one code frame, and the decoder synthesises `synthesis_stride`
  inverse-STFT frames for each of them.

  Attributes:
    sample_rate: Hz of the audio in and out, mono.
    hop_length: samples between analysis frames.
    fft_size: samples of a window, in analysis and in synthesis.
    code_stride: analysis frames in one code frame.
    synthesis_stride: inverse-STFT frames in one analysis frame.
    frame_width, frame_layers: ConvNeXt blocks at the analysis frame rate.
    code_width, code_layers: ConvNeXt blocks at the code frame rate.
    expansion: hidden over outer width of a block.
    kernel_size: frames that a block's depthwise filter sees.
    bands: of the synthesised spectra's envelope.
    num_codebooks, codebook_size, code_dim, feature_dim: residual quantizer.
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
  num_codebooks: int = 12
  codebook_size: int = 1024
  code_dim: int = 8
  feature_dim: int = 96

  def __post_init__(self):
    if self.kind != "spectral":
      raise UserError(f"codec kind {self.kind!r} is not known; use 'spectral'")
    if self.hop_length % self.synthesis_stride:
      raise UserError(
        f"codec hop_length {self.hop_length} is not a multiple of "
        f"synthesis_stride {self.synthesis_stride}; change one of them"
      )
    for hop in (self.hop_length, self.synthesis_hop):
      if self.fft_size % hop or (self.fft_size - hop) % 2:
        raise UserError(
          f"codec fft_size {self.fft_size} is not a whole, even overlap of "
          f"hop {hop}; use a multiple of it"
        )
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if isinstance(value, int) and value < 1:
        raise UserError(f"codec {field.name}={value}: must be at least 1")

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

  def num_frames(self, seconds: float) -> int:
    """Code frames that cover `seconds` of audio."""
    return max(1, round(seconds * self.frame_rate))
