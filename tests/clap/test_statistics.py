import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import clap
from siren_jax.clap import statistics
from siren_jax.common.errors import UserError
from tests.clap.conftest import initial


@pytest.fixture(scope="module")
def config():
  audio = clap.AudioConfig(
    statistics=24, statistics_layers=2, dropout=0.5, num_mels=32
  )
  text = clap.TextConfig(
    vocab_size=40, word_width=4, width=8, layers=1, heads=2, mlp_width=8
  )
  return clap.ClapConfig(text=text, audio=audio, embed_dim=6)


@pytest.fixture(scope="module")
def params(config):
  return initial(config)


encode_audio = jax.jit(clap.encode_audio, static_argnames="config")


def _noise(seconds=1.0, rows=2):
  rng = np.random.default_rng(0)
  size = int(seconds * 16000)
  # Bursts: frames differ in level.
  rise = np.abs(np.sin(np.arange(size) / 4000))
  return (rise * rng.normal(0, 0.1, (rows, size))).astype("f4")


@pytest.mark.parametrize("size", [1, 63, 300, 1000, 16000])
def test_padding_with_its_length_is_the_sound_alone(config, params, size):
  x = _noise()[:, :size] + 0.01
  padded = np.pad(x, ((0, 0), (0, 20000 - size)))
  alone = encode_audio(params, config, x)
  np.testing.assert_allclose(np.linalg.norm(alone, axis=-1), 1, atol=1e-5)
  masked = encode_audio(params, config, padded, num_samples=jnp.int32(size))
  np.testing.assert_allclose(alone, masked, atol=1e-4)


def test_silence_around_a_sound_changes_few_statistics():
  """What it sounds like stays; only how much of the clip is audible changes."""
  rng = np.random.default_rng(0)
  sound = rng.normal(-1, 0.3, (1, 60, 32)).astype("f4")
  silent = np.full((1, 140, 32), -9, "f4")
  clip = np.concatenate([silent[:, :70], sound, silent[:, 70:]], axis=1)
  mask = np.ones(200, bool)
  one = statistics.statistics(sound, mask[:60])
  other = statistics.statistics(clip, mask)
  same = np.isclose(one, other, atol=1e-3)[0]
  assert same[: 4 * 32].all()  # mean, deviation, highest, loud
  assert not same.all()


def test_statistics_are_about_one_in_size():
  x = np.random.default_rng(0).normal(-3, 1, (4, 100, 64)).astype("f4")
  values = statistics.statistics(x, np.ones(100, bool))
  assert values.shape == (4, 6 * 64 + 6 * 17 + 6)
  assert 0.3 < np.abs(values).mean() < 2


def test_dropout_only_with_a_random_stream(config, params):
  model = clap.model.ClapModel(config)

  def embed(**rngs):
    return model.apply(
      {"params": params}, _noise(), method="embed_audio", rngs=rngs
    )

  np.testing.assert_array_equal(embed(), embed())
  one, other = (embed(dropout=jax.random.key(i)) for i in (0, 1))
  assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"num_mels": 24, "widths": (8,), "blocks": (1,)}, "multiple of 16"),
    ({"dropout": 1.0}, "dropout=1.0"),
    ({"statistics": -1}, "statistics=-1"),
    ({"statistics_layers": 0}, "statistics_layers=0"),
  ],
)
def test_impossible_settings_are_refused(config, change, message):
  with pytest.raises(UserError, match=message):
    dataclasses.replace(config.audio, **change)
