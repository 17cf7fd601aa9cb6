"""Windows give what the whole gives."""

import jax
import numpy as np
import pytest

from siren_jax import codec
from siren_jax.codec import chunks
from siren_jax.codec import model as codec_model

DAC = codec.DacConfig(
  encoder_width=4,
  decoder_width=16,
  strides=(2, 5),
  num_codebooks=3,
  codebook_size=16,
  code_dim=4,
)


@pytest.fixture(scope="module", params=["dac", "spectral"])
def model(request, tiny):
  config = DAC if request.param == "dac" else tiny
  params = codec.init(jax.random.key(0), config)
  if request.param == "dac":  # As drawn, its signal dies out.
    params = jax.tree.map(lambda x: 8 * x if x.ndim == 3 else x, params)
  return codec.Codec(config, params)


def _audio(model, frames, extra=0):
  size = frames * model.config.hop + extra
  return np.random.default_rng(0).normal(0, 0.2, (2, size)).astype("f4")


@pytest.mark.parametrize("frames", [7, 20, 60])
def test_codes_and_audio_are_those_of_the_whole(model, frames):
  audio = _audio(model, 130, extra=3)
  codes = np.asarray(model.encode(audio))
  assert len(np.unique(codes)) > 8
  np.testing.assert_array_equal(chunks.encode(model, audio, frames), codes)
  whole = np.asarray(model.decode(codes))
  assert whole.std() > 1e-3
  np.testing.assert_allclose(
    chunks.decode(model, codes, frames), whole, atol=1e-5 * np.abs(whole).max()
  )


def test_a_frame_depends_on_no_more_than_its_reach(model):
  """And on some of it: by gradient."""
  frames = 101
  reach, hop = codec_model.module(model.config).reach, model.config.hop
  audio = _audio(model, frames)[:1]
  noises = np.stack([audio, audio])
  codes = model.encode(audio)

  def middle(latents_BxTxF):
    module = codec_model.module(model.config)

    out = module.apply(
      {"params": model.params}, latents_BxTxF, noises, method="renderings"
    )[0]
    return out[0, 50 * hop : 51 * hop].sum()

  latents = codec_model.module(model.config).apply(
    {"params": model.params},
    codes,
    method=lambda m, codes: m.quantizer.embed(codes),
  )
  moved = np.flatnonzero(np.abs(jax.grad(middle)(latents)[0]).sum(-1))
  assert 50 - reach <= moved.min() < 50 < moved.max() <= 50 + reach


def test_a_clip_shorter_than_a_window_is_one_window(model):
  audio = _audio(model, 5)
  np.testing.assert_array_equal(
    chunks.encode(model, audio), model.encode(audio)
  )
