"""Codecs on a GPU: the codes and the sound of the CPU, and the published DAC.

At the highest precision products are of float32, and those that make codes
are in any case; by default a GPU rounds what goes into the others to TF32.
"""

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
  """A trained codec, two clips, and the codes and the sound of the CPU."""
  trained = codec.load("siren-small")
  time = np.arange(trained.config.sample_rate) / trained.config.sample_rate
  noise = np.random.default_rng(0).normal(size=time.shape)
  sweep = np.sin(2 * np.pi * (200 + 1000 * time) * time)
  audio_BxS = np.stack([0.3 * sweep, 0.1 * noise * time]).astype(np.float32)
  cpu = jax.devices("cpu")[0]
  with jax.default_device(cpu), jax.default_matmul_precision("highest"):
    codes = trained.encode(audio_BxS)
    sound = trained.decode(codes)
  return trained, audio_BxS, *jax.device_get((codes, sound))


@pytest.mark.parametrize("precision", ["highest", "default"])
def test_spectral_codes_are_those_of_the_cpu(spectral, precision):
  """All but a few: where one differs, so may those of later codebooks.

  Codes are exact whatever the caller asks for.
  """
  trained, audio_BxS, expected, _ = spectral
  with jax.default_matmul_precision(precision):
    codes = trained.encode(audio_BxS)
  assert np.mean(codes == expected) >= 0.99


@pytest.mark.parametrize(
  "precision, atol", [("highest", 1e-4), ("default", 1e-2)]
)
def test_spectral_sound_is_that_of_the_cpu(spectral, precision, atol):
  trained, _, codes, expected = spectral
  with jax.default_matmul_precision(precision):
    audio = trained.decode(codes)
  np.testing.assert_allclose(audio, expected, atol=atol)


@pytest.mark.parametrize("publisher", ["hugging_face", "descript"])
@pytest.mark.parametrize(
  "precision, atol", [("highest", 1e-4), ("default", 1e-2)]
)
def test_dac_is_the_published_one(publisher, precision, atol):
  model = dac.load(FIXTURES / publisher)
  theirs = np.load(FIXTURES / publisher / "expected.npz")
  with jax.default_matmul_precision(precision):
    codes = model.encode(theirs["audio"])
    audio = model.decode(theirs["codes"])
  np.testing.assert_array_equal(codes, theirs["codes"])
  length = theirs["decoded"].shape[1]
  np.testing.assert_allclose(audio[:, :length], theirs["decoded"], atol=atol)
