"""How large what `benchmarks.accelerator` measures is: full, or to try it."""

import dataclasses

from benchmarks.shapes import SHAPES
from siren_jax import codec
from siren_jax.experts import ExpertConfig


@dataclasses.dataclass(frozen=True)
class Size:
  """How large everything is.

  Attributes:
    experts: of sampling and training. layers: temporal layers of the parts
      that compare flags and methods.
    exact: of the comparison of sampler and scorer.
    frames: a sample's. clip_frames: a training example's.
    batches, train_batches, codec_batches: rows.
    elements: of the array that is copied. width: of the matrices multiplied.
  """

  experts: ExpertConfig
  layers: int
  exact: ExpertConfig
  dac: codec.DacConfig
  spectral: codec.SpectralCodecConfig
  frames: int = 64
  clip_frames: int = 250
  batches: tuple[int, ...] = (1, 8, 32, 128)
  train_batches: tuple[int, ...] = (16, 32)
  codec_batches: tuple[int, ...] = (1, 16)
  codec_seconds: float = 5.0
  prompt_tokens: int = 16
  elements: int = 2**30
  width: int = 8192
  repeats: int = 3


_TINY = ExpertConfig(
  dim=32, heads=2, kv_heads=2, temporal_layers=1, depth_layers=1, prompt_dim=8,
  feature_dim=12, num_codebooks=2, num_experts=2, codebook_size=128,
  dropout=0.1,
)  # fmt: skip
SIZES = {
  "full": Size(
    experts=SHAPES["siren_1_6b"],
    layers=4,
    exact=dataclasses.replace(SHAPES["nano"], init_std=0.1),
    dac=codec.DacConfig(),
    spectral=codec.SpectralCodecConfig(),
  ),
  "tiny": Size(
    experts=_TINY,
    layers=1,
    exact=dataclasses.replace(_TINY, init_std=0.3),
    dac=codec.DacConfig(
      encoder_width=4, decoder_width=16, strides=(2, 5), num_codebooks=2,
      codebook_size=16,
    ),
    spectral=codec.SpectralCodecConfig(
      hop_length=160, fft_size=320, frame_width=16, code_width=16,
      encoder_frame_layers=1, encoder_code_layers=1, decoder_frame_layers=1,
      decoder_code_layers=1, bands=16, num_codebooks=2, codebook_size=32,
      feature_dim=16,
    ),
    frames=8, clip_frames=16, batches=(1, 2), train_batches=(2,),
    codec_batches=(1,), codec_seconds=0.25, elements=2**20, width=256,
    repeats=2,
  ),
}  # fmt: skip
