"""What callers of a codec rely on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import codec
from siren_jax.codec import losses
from siren_jax.codec.spectral import NoiseShape, SpectralCodec, synthesise
from siren_jax.common.errors import UserError


@pytest.fixture(scope="module")
def bound(tiny):
  return codec.Codec(tiny, codec.init(jax.random.key(0), tiny))


@pytest.fixture(scope="module")
def audio_BxS(tiny):
  return 0.1 * jax.random.normal(jax.random.key(1), (3, 12 * tiny.hop))


def test_codes_and_audio_have_their_shapes_and_ranges(bound, tiny, audio_BxS):
  codes = bound.encode(audio_BxS)
  assert codes.shape == (3, 4, 12) and codes.dtype == jnp.int32
  assert 0 <= codes.min() and codes.max() < 32
  audio = bound.decode(codes)
  assert audio.shape == audio_BxS.shape
  assert jnp.abs(audio).max() <= 1


def test_a_row_of_a_batch_is_the_clip_alone(bound, audio_BxS):
  codes = bound.encode(audio_BxS)
  np.testing.assert_array_equal(bound.encode(audio_BxS[1:2]), codes[1:2])
  np.testing.assert_allclose(
    bound.decode(codes[1:2]), bound.decode(codes)[1:2], atol=1e-5
  )


def test_a_broken_last_frame_is_filled_with_silence(bound, tiny, audio_BxS):
  short = audio_BxS[:, : -tiny.hop // 3]
  filled = jnp.pad(short, ((0, 0), (0, tiny.hop // 3 + 1)))
  filled = filled[:, : audio_BxS.shape[1]]
  np.testing.assert_array_equal(bound.encode(short), bound.encode(filled))


def test_decoding_twice_gives_the_same_sound(bound, audio_BxS):
  codes = bound.encode(audio_BxS)
  np.testing.assert_array_equal(bound.decode(codes), bound.decode(codes))


def test_what_lies_ahead_does_not_change_the_beginning(bound, tiny, audio_BxS):
  """Beyond the reach of the filters, a longer clip begins as a shorter one."""
  config = dataclasses.replace(tiny, kernel_size=1)
  one = codec.Codec(config, codec.init(jax.random.key(0), config))
  codes = jax.random.randint(jax.random.key(2), (1, 4, 12), 0, 32)
  long, short = one.decode(codes), one.decode(codes[..., :8])
  keep = 7 * tiny.hop
  np.testing.assert_allclose(long[:, :keep], short[:, :keep], atol=1e-5)


def test_embedding_tables_are_what_the_decoder_reads(bound):
  tables = codec.embedding_tables(bound.params)
  codes = jax.random.randint(jax.random.key(3), (2, 4, 5), 0, 32)
  by_table = sum(
    tables["codebook_NxVx8"][n][codes[:, n]] @ tables["weight_NxFx8"][n].T
    + tables["bias_NxF"][n]
    for n in range(4)
  )
  by_codec = SpectralCodec(bound.config).apply(
    {"params": bound.params}, codes, method="embed"
  )
  np.testing.assert_allclose(by_table, by_codec, atol=1e-5)


def test_shaped_noise_has_the_level_and_colour_of_its_envelope(tiny):
  frames, bins = 200, tiny.fft_size // 2 + 1
  noise = jax.random.normal(jax.random.key(0), (1, frames * tiny.synthesis_hop))
  levels = []
  for low, high in ((0.2, 0.0), (0.0, 0.2)):
    gain = jnp.where(jnp.arange(bins) < bins // 2, low, high)
    gain = jnp.broadcast_to(gain, (1, frames, bins))
    audio = synthesise(tiny, NoiseShape(gain, jnp.zeros_like(gain)), noise)
    power = jnp.abs(jnp.fft.rfft(audio[0])) ** 2
    levels.append((power[: len(power) // 2].sum(), power.sum()))
    np.testing.assert_allclose(jnp.std(audio), 0.2 / 2**0.5, rtol=0.1)
  assert levels[0][0] > 0.9 * levels[0][1]
  assert levels[1][0] < 0.1 * levels[1][1]


def _levels(config, audio_BxS):
  return losses.band_levels(audio_BxS, config.hop_length, config.sample_rate)


def test_loudness_is_of_mean_power(tiny, audio_BxS):
  """Not of mean levels: half the time silent is half the power."""
  whole = losses.loudness(_levels(tiny, audio_BxS))
  half = audio_BxS.at[:, : audio_BxS.shape[1] // 2].set(0)
  half = losses.loudness(_levels(tiny, half))
  np.testing.assert_allclose((whole - half).mean(), np.log(2), atol=0.1)
  louder = losses.loudness(_levels(tiny, 2 * audio_BxS))
  np.testing.assert_allclose(louder - whole, np.log(4), atol=0.02)


def test_steady_noise_swings_less_and_is_as_loud(tiny):
  frames, bins = 400, tiny.fft_size // 2 + 1
  noise = jax.random.normal(jax.random.key(0), (1, frames * tiny.synthesis_hop))
  gain = jnp.full((1, frames, bins), 0.2)
  white, steady = (
    synthesise(tiny, NoiseShape(gain, jnp.full_like(gain, s)), noise)
    for s in (0.0, 1.0)
  )
  swings = [
    losses.swing(_levels(tiny, x)).mean() for x in (noise, white, steady)
  ]
  np.testing.assert_allclose(swings[1], swings[0], rtol=0.02)
  assert swings[2] < 0.8 * swings[1]
  np.testing.assert_allclose(steady.std(), white.std(), rtol=0.1)


@pytest.mark.parametrize(
  "change",
  [{"fft_size": 500}, {"num_codebooks": 0}, {"synthesis_stride": 3}],
)
def test_impossible_sizes_are_reported(tiny, change):
  with pytest.raises(UserError, match=next(iter(change))):
    dataclasses.replace(tiny, **change)
