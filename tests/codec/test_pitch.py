"""Pitch of voices, measured."""

import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.codec import SpectralCodecConfig, pitch

CONFIG = SpectralCodecConfig(voices=2)
RATE = CONFIG.sample_rate


def _note(hertz, seconds=1.0, harmonics=6):
  time_S = np.arange(round(seconds * RATE)) / RATE
  orders = [n for n in range(1, harmonics + 1) if n * hertz < 0.45 * RATE]
  parts = [0.2 / n * np.sin(2 * np.pi * n * hertz * time_S) for n in orders]
  return np.sum(parts, 0).astype("f4")


def _measured(audio_S):
  power = pitch.power(CONFIG, audio_S[None])
  measured, _ = pitch.measure(CONFIG, power)
  middle = measured.place_BxTxY.shape[1] // 2
  return (
    np.asarray(pitch.hertz(measured.place_BxTxY))[0, middle],
    np.asarray(measured.strength_BxTxY)[0, middle],
  )


def _cents(a, b):
  return 1200 * abs(np.log2(a / b))


@pytest.mark.parametrize("hertz", [65, 110, 440.7, 1234, 3500])
def test_a_note_has_its_pitch(hertz):
  (first, _), (strength, _) = _measured(_note(hertz))
  assert _cents(first, hertz) < 8
  assert strength > 0.9


def test_of_two_notes_the_second_voice_has_the_weaker():
  both = _note(440) + 0.2 * _note(700)
  (first, second), _ = _measured(both)
  assert _cents(first, 440) < 15
  assert _cents(second, 700) < 15


def test_noise_has_no_strong_pitch():
  noise = np.random.default_rng(0).normal(size=RATE).astype("f4")
  _, strengths = _measured(0.1 * noise)
  assert strengths[0] < 0.5


def test_silence_is_measured_without_a_fault():
  places, strengths = _measured(np.zeros(RATE, "f4"))
  assert np.isfinite(places).all()
  assert (strengths < 0.1).all()


def test_a_place_is_read_back_between_the_steps():
  place = np.array([[[5.0, 17.3], [200.5, 370.0]]], "f4")
  logits = jnp.log(pitch.around(place, 1.0) + 1e-9)
  np.testing.assert_allclose(pitch.place_of(logits), place, atol=0.1)
