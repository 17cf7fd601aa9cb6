"""Voices sound at their pitches, and run on."""

import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.audio import stft
from siren_jax.codec import SpectralCodecConfig, voices

CONFIG = SpectralCodecConfig(voices=1)
RATE = CONFIG.sample_rate


def _sound(hertz_T, amplitude=0.1, phase=None):
  hertz = jnp.asarray(hertz_T, jnp.float32)[None, :, None]
  harmonics = voices.harmonics(CONFIG, hertz)
  phase = voices.phases(CONFIG, hertz) if phase is None else phase
  level = jnp.full(harmonics.order.shape, amplitude)
  spectra = voices.spectra(CONFIG, harmonics, level, phase)
  hop = CONFIG.synthesis_hop
  return np.asarray(stft.istft(spectra, CONFIG.fft_size, hop))[0]


@pytest.mark.parametrize("hertz", [60.0, 261.6, 1000.0, 3333.0])
def test_harmonics_are_at_multiples_with_the_given_amplitudes(hertz):
  audio = _sound([hertz] * 200)[RATE // 2 : RATE // 2 + RATE]
  spectrum = np.abs(np.fft.rfft(audio * np.hanning(RATE))) * 4 / RATE
  count = int((RATE / 2 - 250) // hertz)
  places = np.round(hertz * np.arange(1, count + 1)).astype(int)
  near = np.max([spectrum[places + i] for i in (-1, 0, 1)], 0)
  np.testing.assert_allclose(near, 0.1, rtol=0.2)
  between = places[:-1] + int(hertz / 2)
  if len(between):
    assert spectrum[between].max() < 0.004


def test_a_gliding_voice_does_not_click():
  audio = _sound(200 * 2 ** np.linspace(0, 1, 200), amplitude=0.02)
  middle = audio[2000:-2000]
  loudness = np.sqrt(np.mean(middle.reshape(-1, 400) ** 2, -1))
  assert loudness.max() < 1.5 * loudness.min()


def test_phases_of_a_window_are_those_of_the_whole():
  hertz = np.random.default_rng(0).uniform(50, 4000, (2, 300, 3)).astype("f4")
  whole = np.asarray(voices.phases(CONFIG, hertz))
  window = np.asarray(voices.phases(CONFIG, hertz[:, 100:]))
  np.testing.assert_array_equal(window + whole[:, 100:101], whole[:, 100:])
