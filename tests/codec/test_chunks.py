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
  "dac of odd strides": {"strides": (5, 3)},
  "spectral": {},
  "spectral with voices": {"voices": 2},
  "spectral of even filters": {"kernel_size": 4, "fft_size": 640},
  "spectral without filters": {"kernel_size": 1},
}
FRAMES, ROWS = 4, 3


def _model(kind, tiny):
  """A codec of large random weights: as drawn, signals would die out."""
  config = DAC if kind.startswith("dac") else tiny
  config = dataclasses.replace(config, **KINDS[kind])
  shapes = jax.eval_shape(
    lambda key: codec.init(key, config), jax.random.key(0)
  )
  rng = np.random.default_rng(0)

  def draw(path, shape):
    x = rng.normal(size=shape.shape).astype("f4")
    match path[-1].key:
      case "kernel":
        return 0.8 * x / x[..., 0].size ** 0.5
      case "codebook":
        return x
      case "bias":
        return 0.1 * x
    return np.full_like(x, 0.5)

  return codec.Codec(config, jax.tree.map_with_path(draw, shapes))


@pytest.fixture(
  scope="module", params=["dac", "spectral", "spectral with voices"]
)
def model(request, tiny):
  return _model(request.param, tiny)


@pytest.fixture(scope="module", params=KINDS)
def any_model(request, tiny):
  return _model(request.param, tiny)


def _long(model):
  """Frames of a sound that has windows without an end in sight."""
  return 2 * (sum(codec_model.module(model.config).context) + FRAMES)


def _codes(model, frames, rows=ROWS):
  shape = rows, model.config.num_codebooks, frames
  return np.random.default_rng(0).integers(0, model.config.codebook_size, shape)


def _assert_same(model, audio, whole):
  assert whole.std() > 1e-2
  # The last bits of a pitch turn the phases of all that follows.
  has_voices = codec_model.module(model.config).first_phase is not None
  atol = (1e-2 if has_voices else 1e-5) * np.abs(whole).max()
  np.testing.assert_allclose(audio, whole, atol=atol)


def _stream(model, codes, frames, *lengths):
  """Audio of codes that come in pieces of these lengths, then the rest."""
  pieces = np.split(codes, list(itertools.accumulate(lengths)), -1)
  return np.concatenate(list(chunks.stream_decode(model, pieces, frames)), -1)


@pytest.mark.parametrize("frames", [7, 60])
def test_codes_are_those_of_the_whole(model, frames):
  hop = model.config.hop
  rng = np.random.default_rng(0)
  loudness = np.repeat(10 ** rng.uniform(-4, 0, (2, 130)), hop, 1)
  audio = (loudness * rng.normal(size=loudness.shape)).astype("f4")[:, :-3]
  codes = np.asarray(model.encode(audio))
  assert len(np.unique(codes)) > 8
  np.testing.assert_array_equal(chunks.encode(model, audio, frames), codes)
  few = audio[:, : 5 * hop]
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

  gradient = jax.jit(jax.grad(middle))(audio.astype("f4")).reshape(101, -1)
  moved = np.flatnonzero(np.abs(gradient).sum(1))
  assert 50 - module.reach <= moved.min() < 50 < moved.max()
  assert moved.max() <= 50 + module.reach


def test_audio_depends_on_its_context_and_no_more(any_model):
  module = codec_model.module(any_model.config)
  before, after = module.look_back, module.look_ahead
  codes = _codes(any_model, _long(any_model))
  changed = codes.copy()
  changed[..., after + 2] = (codes[..., after + 2] + 1) % 16
  audio, other = (np.asarray(any_model.decode(x)) for x in (codes, changed))
  moved = (audio != other).any(0).reshape(codes.shape[2], -1).any(1)
  first, last = np.flatnonzero(moved)[[0, -1]]
  assert first == 2
  if module.first_phase is None:  # else another pitch shifts all that follows
    assert last == 2 + after + before


@pytest.mark.parametrize("side", [0, 1])
def test_with_less_context_a_stream_is_not_the_whole(
  any_model, side, monkeypatch
):
  codes = _codes(any_model, _long(any_model))
  whole = np.asarray(any_model.decode(codes))
  module = codec_model.module(any_model.config)
  context = list(module.context)
  context[side] -= 1
  monkeypatch.setattr(type(module), "context", tuple(context))
  audio = _stream(any_model, codes, FRAMES + 1)  # The same window.
  assert np.abs(audio - whole).max() > 2e-5 * np.abs(whole).max()


@pytest.mark.optimized
def test_a_stream_is_the_whole(any_model):
  codes = _codes(any_model, _long(any_model))
  whole = np.asarray(any_model.decode(codes))
  _assert_same(any_model, _stream(any_model, codes, FRAMES, 2, 0, 7), whole)


@pytest.mark.long
@pytest.mark.parametrize("rows", [1, ROWS])
def test_one_program_decodes_streams_of_all_lengths(model, rows, compilations):
  """Around every boundary, in pieces of all lengths."""
  # Frames that the first piece of audio waits for.
  first = FRAMES + codec_model.module(model.config).look_ahead
  lengths = [1, FRAMES, first, first + 1, first + FRAMES]
  codes = _codes(model, first + FRAMES, rows)
  wholes = [np.asarray(model.decode(codes[..., :n])) for n in lengths]
  _stream(model, codes, FRAMES)
  compilations.clear()
  for n, whole in zip(lengths, wholes, strict=True):
    for pieces in [(), (1, 1), (FRAMES,), (2, 0, FRAMES + 1)]:
      audio = _stream(model, codes[..., :n], FRAMES, *pieces)
      _assert_same(model, audio, whole)
  assert not compilations


def test_audio_comes_as_soon_as_its_context_is_there(model):
  after = codec_model.module(model.config).look_ahead
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
  codes = _codes(model, _long(model))
  whole = np.asarray(rounded.decode(codes), "f4")
  audio = _stream(rounded, codes, FRAMES).astype("f4")
  np.testing.assert_allclose(audio, whole, atol=0.02 * np.abs(whole).max())


def test_decoding_a_file_of_codes_is_decoding_the_whole(model):
  codes = _codes(model, _long(model))
  whole = np.asarray(model.decode(codes))
  _assert_same(model, chunks.decode(model, codes, FRAMES), whole)


def test_a_stream_of_the_codec_that_ships_is_the_whole():
  shipped = codec.load("siren-small")
  codes = _codes(shipped, 61, rows=1)
  whole = np.asarray(shipped.decode(codes))
  _assert_same(shipped, _stream(shipped, codes, 10, 7), whole)
