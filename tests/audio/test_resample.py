"""Resampling keeps tones and lengths."""

import jax
import numpy as np
import pytest

from siren_jax.audio.resample import resample, resampled_size


@pytest.mark.parametrize("rates", [(44100, 16000), (16000, 48000)])
def test_a_tone_stays_the_tone(rates):
  old, new = (
    np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate) for rate in rates
  )
  resampled = resample(old, *rates)
  assert resampled.shape == new.shape and resampled.dtype == np.float32
  np.testing.assert_allclose(resampled[200:-200], new[200:-200], atol=2e-3)


def test_what_the_new_rate_cannot_hold_is_gone():
  time = np.arange(44100) / 44100
  resampled = resample(np.sin(2 * np.pi * 12000 * time), 44100, 16000)
  assert np.abs(resampled[200:-200]).max() < 0.02


def test_the_same_rate_changes_nothing():
  audio = np.random.default_rng(0).normal(size=100).astype("f4")
  np.testing.assert_array_equal(resample(audio, 16000, 16000), audio)


def test_traced_rows_are_the_rows_of_numpy():
  audio = np.random.default_rng(0).normal(size=(3, 1001)).astype("f4")
  resampled = jax.jit(lambda x: resample(x, 16000, 48000))(audio)
  alone = np.stack([resample(x, 16000, 48000) for x in audio])
  np.testing.assert_allclose(resampled, alone, atol=1e-6)


@pytest.mark.parametrize("rates", [(44100, 48000), (48000, 16000), (8, 8)])
def test_lengths_are_known_while_tracing(rates):
  """Of ten minutes too: beyond int32 if multiplied by the rate."""
  size = jax.jit(resampled_size, static_argnums=(1, 2))
  for samples in (1, 146, 147, 148, 26_460_001):
    expected = -(-samples * rates[1] // rates[0])
    assert size(samples, *rates) == expected
    if samples < 1000:
      assert len(resample(np.zeros(samples), *rates)) == expected
