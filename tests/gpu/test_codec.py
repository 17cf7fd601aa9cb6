"""Codecs on a GPU: the CPU's sound, and the published codes of DAC."""

import pathlib

import jax
import numpy as np
import pytest

from siren_jax import codec
from siren_jax.weights import dac

pytestmark = pytest.mark.gpu

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "dac"


@pytest.fixture(scope="module")
def spectral():
  """A trained codec, the audio of two clips, and the CPU's codes and sound."""
  trained = codec.load("nano-stage1")
  time = np.arange(trained.config.sample_rate) / trained.config.sample_rate
  noise = np.random.default_rng(0).normal(size=time.shape)
  sweep = np.sin(2 * np.pi * (200 + 1000 * time) * time)
  audio_BxS = np.stack([0.3 * sweep, 0.1 * noise * time]).astype(np.float32)
  with jax.default_device(jax.devices("cpu")[0]):
    codes = trained.encode(audio_BxS)
    sound = trained.decode(codes)
  return trained, audio_BxS, *jax.device_get((codes, sound))


@pytest.mark.parametrize(
  "precision, same", [("highest", 0.99), ("default", 0.6)]
)
def test_spectral_codes(spectral, precision, same):
  """A code that differs changes what later codebooks have to say."""
  trained, audio_BxS, codes, _ = spectral
  with jax.default_matmul_precision(precision):
    ours = np.asarray(trained.encode(audio_BxS))
  print(np.mean(ours == codes), np.mean(ours == codes, (0, 2)))
  assert np.mean(ours == codes) >= same


@pytest.mark.parametrize(
  "precision, atol", [("highest", 1e-4), ("default", 1e-2)]
)
def test_spectral_sound(spectral, precision, atol):
  trained, _, codes, sound = spectral
  with jax.default_matmul_precision(precision):
    ours = np.asarray(trained.decode(codes))
  print(np.abs(ours - sound).max(), np.abs(sound).max())
  np.testing.assert_allclose(ours, sound, atol=atol)


@pytest.mark.parametrize("publisher", ["hugging_face", "descript"])
@pytest.mark.parametrize(
  "precision, atol, same", [("highest", 1e-4, 1.0), ("default", 1e-2, 0.8)]
)
def test_published_dac(publisher, precision, atol, same):
  folder = FIXTURES / publisher
  theirs = dict(np.load(folder / "expected.npz"))
  model = dac.load(folder)
  with jax.default_matmul_precision(precision):
    codes = np.asarray(model.encode(theirs["audio"]))
    sound = np.asarray(model.decode(theirs["codes"]))
  length = theirs["decoded"].shape[1]
  print(
    np.mean(codes == theirs["codes"]),
    np.abs(sound[:, :length] - theirs["decoded"]).max(),
  )
  assert np.mean(codes == theirs["codes"]) >= same
  np.testing.assert_allclose(sound[:, :length], theirs["decoded"], atol=atol)
