import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import clap
from siren_jax.audio.resample import resample
from siren_jax.clap import audio_tower
from siren_jax.common.errors import UserError
from tests.clap.conftest import initial

encode_audio = jax.jit(clap.encode_audio, static_argnames="config")


@pytest.fixture(scope="module", params=["pyramid", "statistics"])
def config(request, clap_config):
  if request.param == "pyramid":
    return clap_config
  audio = dataclasses.replace(clap_config.audio, num_mels=32, statistics=24)
  return dataclasses.replace(clap_config, audio=audio)


@pytest.fixture(scope="module")
def params(config):
  return initial(config)


def _noise(seconds=0.1, rows=2, rate=16000):
  size = int(seconds * rate)
  return np.random.default_rng(0).normal(0, 0.1, (rows, size)).astype("f4")


def test_gain_does_not_matter(config, params):
  x = _noise()
  one = encode_audio(params, config, x)
  np.testing.assert_allclose(
    one, encode_audio(params, config, x * 7), atol=1e-4
  )


@pytest.mark.parametrize("size", [1, 63, 64, 1000, 4097])
def test_any_length_gives_a_unit_embedding(config, params, size):
  embedding = encode_audio(
    params, config, _noise()[:, :1] + np.ones((2, size), "f4")
  )
  assert embedding.shape == (2, config.embed_dim)
  np.testing.assert_allclose(np.linalg.norm(embedding, axis=-1), 1, atol=1e-5)


def test_silence_is_finite_and_has_finite_gradients(config, params):
  grad = jax.grad(lambda x: encode_audio(params, config, x).sum())
  silence = jnp.zeros((1, 640))
  assert np.isfinite(encode_audio(params, config, silence)).all()
  assert np.isfinite(grad(silence)).all()


def test_a_row_of_a_batch_is_that_row_alone(config, params):
  x = _noise()
  both = encode_audio(params, config, x)
  np.testing.assert_allclose(
    both[1:], encode_audio(params, config, x[1:]), atol=1e-5
  )


@pytest.mark.parametrize("hertz", [300, 1000, 4000])
def test_a_tone_peaks_in_its_mel_band(hertz):
  config = clap.AudioConfig()
  time = np.arange(16384) / config.sample_rate
  x = 0.01 * np.sin(2 * np.pi * hertz * time)[None].astype("f4")
  frames = np.asarray(audio_tower.log_mel(x, config))[0, 5:-5]
  top = 2595 * np.log10(1 + config.sample_rate / 2 / 700)
  mel = 2595 * np.log10(1 + hertz / 700)
  band = mel / top * (config.num_mels + 1) - 1
  assert np.abs(frames.mean(0).argmax() - band) <= 1


def test_white_noise_has_log_power_zero():
  # That is what the floor is measured against.
  frames = audio_tower.log_mel(_noise(2.048, rows=1), clap.AudioConfig())
  assert abs(np.log10(np.mean(10**frames))) < 0.05


def test_patches_hold_neighbouring_cells():
  x = np.arange(4 * 6).reshape(1, 4, 6, 1)
  joined = np.asarray(audio_tower.patches(x, 2))
  assert joined.shape == (1, 2, 3, 4)
  for t in range(2):
    for m in range(3):
      cell = x[0, 2 * t : 2 * t + 2, 2 * m : 2 * m + 2, 0].ravel()
      np.testing.assert_array_equal(joined[0, t, m], cell)


def test_shifted_multiplies_are_a_depthwise_convolution():
  x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 7, 3)), "float32")
  filters = jnp.asarray(
    np.random.default_rng(2).normal(size=(3, 3, 3)), "float32"
  )
  expected = jax.lax.conv_general_dilated(
    x,
    filters[:, :, None],
    (1, 1),
    "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=3,
  )
  np.testing.assert_allclose(
    audio_tower.shifted_filter(x, filters), expected, atol=1e-5
  )


def test_padding_of_the_last_cell_has_no_effect():
  pool = audio_tower.AttentionPool(2)
  x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 6)), "float32")
  mask = jnp.array([True, True, True, False])
  params = pool.init(jax.random.key(0), x, mask)
  one = pool.apply(params, x, mask)
  other = pool.apply(params, x.at[:, 3].set(99.0), mask)
  np.testing.assert_allclose(one, other)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"widths": (8, 16)}, "one entry per stage"),
    ({"num_mels": 60}, "multiple of 16"),
    ({"window": 300}, "window=300"),
    ({"kernel": 4}, "kernel=4"),
    ({"heads": 7}, "heads=7"),
    ({"hop": 0}, "hop=0"),
  ],
)
def test_impossible_shapes_are_refused(change, message):
  with pytest.raises(UserError, match=message):
    dataclasses.replace(clap.AudioConfig(), **change)


def _boundaries(config, most):
  """Lengths in samples around frames and cells."""
  cell = config.audio.hop * config.audio.stride
  edges = (config.audio.hop, cell, 2 * cell, most)
  return sorted({1, *(e + d for e in edges for d in (-1, 0, 1))} - {most + 1})


def test_one_program_embeds_any_length(config, params, compilations):
  """As the cropped audio is embeddings, whatever follows."""
  x = _noise(0.25)
  cropped = [x[:, :n] for n in _boundaries(config, x.shape[1])]
  expected = [encode_audio(params, config, a) for a in cropped]
  encode_audio(params, config, x, num_samples=7)
  compilations.clear()
  embeddings = [
    encode_audio(params, config, x, num_samples=a.shape[1]) for a in cropped
  ]
  assert not compilations
  np.testing.assert_allclose(embeddings, expected, atol=1e-5)
  assert np.ptp(np.asarray(expected), 0).max() > 1e-2


def test_one_program_embeds_any_length_at_another_rate(
  config, params, compilations
):
  x = _noise(0.1, rate=22050)
  at_rate = jax.jit(
    clap.encode_audio, static_argnames=("config", "sample_rate")
  )
  at_rate(params, config, x, 22050, 7)
  compilations.clear()
  sizes = [1, 2, 440, 441, 442, 1900, x.shape[1] - 1, x.shape[1]]
  embeddings = [at_rate(params, config, x, 22050, n) for n in sizes]
  assert not compilations
  expected = [
    encode_audio(params, config, resample(x[:, :n], 22050, 16000))
    for n in sizes
  ]
  np.testing.assert_allclose(embeddings, expected, atol=1e-5)
