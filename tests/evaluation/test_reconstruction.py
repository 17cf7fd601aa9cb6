"""Distances of a sound and its rendering (DAC's own: tests/oracle)."""

import numpy as np
import pytest

from siren_jax.common.errors import UserError
from siren_jax.evaluation import reconstruction

RATE = 16000


def _sound(seed=0):
  rng = np.random.default_rng(seed)
  time = np.arange(RATE) / RATE
  tone = 0.3 * np.sin(2 * np.pi * 440 * time) * np.exp(-time)
  return (tone + 0.01 * rng.normal(size=(2, RATE))).astype("f4")


def test_a_sound_is_at_no_distance_from_itself():
  distances = reconstruction.distances(_sound(), _sound(), RATE)
  assert not distances["mel"].any() and not distances["stft"].any()
  assert distances["si_sdr"].min() > 80


def test_si_sdr_is_the_ratio_of_powers():
  time = np.arange(RATE) / RATE
  signal, noise = np.sin(2 * np.pi * 50 * time), np.cos(2 * np.pi * 50 * time)
  for ratio in (0.1, 1.0, 3.0):
    estimate = (5 * (signal + ratio * noise) + 0.2)[None]
    si_sdr = reconstruction.si_sdr(signal[None], estimate)
    np.testing.assert_allclose(si_sdr, -20 * np.log10(ratio), atol=1e-4)


def test_a_factor_of_ten_is_one_in_log_magnitudes():
  """All bins above the floor: mel 1; the log part of each STFT 2."""
  loud = np.random.default_rng(0).normal(size=(1, RATE)).astype("f4")
  distances = reconstruction.distances(loud, 0.1 * loud, RATE)
  np.testing.assert_allclose(
    distances["mel"], 1, atol=0.02
  )  # Some bands are empty.
  linear = sum(
    0.9 * np.mean(x)
    for window in (2048, 512)
    for x in reconstruction._magnitudes(window, loud)
  )
  np.testing.assert_allclose(distances["stft"], linear + 4, rtol=1e-4)


def test_more_noise_is_worse_and_rows_do_not_meet():
  sound = _sound()
  noise = np.random.default_rng(1).normal(size=sound.shape).astype("f4")
  near, far = (
    reconstruction.distances(sound, sound + level * noise, RATE)
    for level in (0.001, 0.1)
  )
  assert np.all(near["mel"] < far["mel"]) and np.all(near["stft"] < far["stft"])
  assert np.all(near["si_sdr"] > far["si_sdr"])
  alone = reconstruction.distances(sound[1:], (sound + 0.1 * noise)[1:], RATE)
  for name, values in alone.items():
    np.testing.assert_allclose(values, far[name][1:], rtol=1e-5)


def test_other_shapes_are_refused():
  with pytest.raises(UserError, match="the same shape"):
    reconstruction.distances(_sound(), _sound()[:, 1:], RATE)
  with pytest.raises(UserError, match="S at least"):
    reconstruction.distances(_sound()[:, :1000], _sound()[:, :1000], RATE)
