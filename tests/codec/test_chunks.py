"""Windows give what the whole gives."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from siren_jax import codec
from siren_jax.codec import chunks
from siren_jax.codec import model as codec_model

DAC = codec.DacConfig(
  encoder_width=4,
  decoder_width=32,
  strides=(2, 5),
  num_codebooks=3,
  codebook_size=16,
  code_dim=4,
)
KINDS = {
  "dac": {},
  "dac of four strides": {"strides": (2, 4, 5, 8)},
  "dac of odd strides": {"strides": (3, 7)},
  "spectral": {},
  "spectral of even filters": {"kernel_size": 4, "fft_size": 640},
  "spectral without filters": {"kernel_size": 1},
}
FRAMES = 4


@pytest.fixture(scope="module", params=KINDS)
def model(request, tiny):
  config = DAC if request.param.startswith("dac") else tiny
  config = dataclasses.replace(config, **KINDS[request.param])
  params = codec.init(jax.random.key(0), config)
  return codec.Codec(config, jax.tree.map(_louder, params))


def _louder(x):
  """As drawn, signals die out on their way through many layers."""
  return x / x.std() / x[..., 0].size ** 0.5 if x.ndim > 1 else x


def _codes(model, frames, rows=2):
  shape = rows, model.config.num_codebooks, frames
  return np.random.default_rng(0).integers(0, model.config.codebook_size, shape)


def _assert_same(audio, whole):
  assert whole.std() > 1e-2
  np.testing.assert_allclose(audio, whole, atol=1e-5 * np.abs(whole).max())


def _stream(model, codes, frames, *lengths):
  """Audio of codes that come in pieces of these lengths, then the rest."""
  pieces = np.split(codes, list(itertools.accumulate(lengths)), -1)
  return np.concatenate(list(chunks.stream_decode(model, pieces, frames)), -1)


@pytest.mark.parametrize("frames", [7, 60])
def test_codes_are_those_of_the_whole(model, frames):
  size = 130 * model.config.hop - 3
  audio = np.random.default_rng(0).normal(0, 0.2, (2, size)).astype("f4")
  codes = np.asarray(model.encode(audio))
  assert len(np.unique(codes)) > 8
  np.testing.assert_array_equal(chunks.encode(model, audio, frames), codes)
  few = audio[:, : 5 * model.config.hop]
  np.testing.assert_array_equal(chunks.encode(model, few), model.encode(few))


def test_codes_depend_on_no_more_than_their_reach(model):
  """And on some of it: by gradient."""
  module = codec_model.module(model.config)
  audio = np.random.default_rng(0).normal(0, 0.2, (1, 101 * model.config.hop))

  def middle(audio_BxS):
    latents = module.apply(
      {"params": model.params}, audio_BxS, method=lambda m, x: m.encoder(x)
    )
    return latents[0, 50].sum()

  gradient = jax.grad(middle)(audio.astype("f4")).reshape(101, -1)
  moved = np.flatnonzero(np.abs(gradient).sum(1))
  assert 50 - module.reach <= moved.min() < 50 < moved.max()
  assert moved.max() <= 50 + module.reach


def test_audio_depends_on_its_context_and_no_more(model):
  before, after = codec_model.module(model.config).context
  frames = before + after + 5
  codes = _codes(model, frames, rows=1)
  changed = codes.copy()
  changed[..., after + 2] = (codes[..., after + 2] + 1) % 16
  audio, other = (np.asarray(model.decode(x)) for x in (codes, changed))
  moved = (audio != other).reshape(frames, -1).any(1)
  assert np.flatnonzero(moved)[[0, -1]].tolist() == [2, 2 + after + before]


@pytest.mark.parametrize("rows", [1, 3])
def test_a_stream_is_the_whole(model, rows, compilations):
  """Of lengths around every boundary, by one program."""
  before, after = codec_model.module(model.config).context
  first = FRAMES + after  # that the first piece of audio waits for
  lengths = [1, FRAMES, first - 1, first, first + 1, first + FRAMES, 3 * first]
  codes = _codes(model, max(lengths), rows)
  wholes = [np.asarray(model.decode(codes[..., :n])) for n in lengths]
  pieces = [(), (1, 1), (FRAMES,), (2, 0, FRAMES + 1)]
  _stream(model, codes, FRAMES)
  compilations.clear()
  for n, whole in zip(lengths, wholes, strict=True):
    for lengths_of_pieces in pieces:
      audio = _stream(model, codes[..., :n], FRAMES, *lengths_of_pieces)
      _assert_same(audio, whole)
  assert not compilations


@pytest.mark.parametrize("side", [0, 1])
def test_with_less_context_a_stream_is_not_the_whole(model, side, monkeypatch):
  module = codec_model.module(model.config)
  context = list(module.context)
  codes = _codes(model, 2 * sum(context) + 2 * FRAMES)
  whole = np.asarray(model.decode(codes))
  context[side] -= 1
  monkeypatch.setattr(type(module), "context", tuple(context))
  audio = _stream(model, codes, FRAMES + 1)  # The same window.
  assert np.abs(audio - whole).max() > 1e-4 * np.abs(whole).max()


def test_audio_comes_as_soon_as_its_context_is_there(model):
  _, after = codec_model.module(model.config).context
  codes = _codes(model, 40 + after, rows=1)
  taken = 0

  def frames():
    nonlocal taken
    for t in range(codes.shape[2]):
      taken += 1
      yield codes[..., t : t + 1]

  stream = chunks.stream_decode(model, frames(), FRAMES)
  for n in range(1, 5):
    assert next(stream).shape == (1, FRAMES * model.config.hop)
    assert taken == n * FRAMES + after


def test_without_codes_there_is_no_audio(model):
  assert not list(chunks.stream_decode(model, [], FRAMES))
  assert not list(chunks.stream_decode(model, [_codes(model, 0)], FRAMES))


def test_in_bfloat16_a_stream_is_the_whole_but_for_rounding(model):
  params = jax.tree.map(lambda x: x.astype("bfloat16"), model.params)
  rounded = dataclasses.replace(model, params=params)
  codes = _codes(model, 60)
  whole = np.asarray(rounded.decode(codes), "f4")
  audio = _stream(rounded, codes, FRAMES).astype("f4")
  np.testing.assert_allclose(audio, whole, atol=0.02 * np.abs(whole).max())


def test_decoding_a_file_of_codes_is_decoding_the_whole(model):
  codes = _codes(model, 60)
  whole = np.asarray(model.decode(codes))
  _assert_same(chunks.decode(model, codes, 25), whole)
