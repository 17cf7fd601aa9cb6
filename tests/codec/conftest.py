"""A codec small enough to compile in seconds."""

import pytest

from siren_jax.codec import SpectralCodecConfig


@pytest.fixture(scope="session")
def tiny():
  return SpectralCodecConfig(
    hop_length=160,
    fft_size=320,
    frame_width=16,
    code_width=16,
    encoder_frame_layers=1,
    encoder_code_layers=1,
    decoder_frame_layers=1,
    decoder_code_layers=1,
    bands=16,
    num_codebooks=4,
    codebook_size=32,
    feature_dim=16,
  )
