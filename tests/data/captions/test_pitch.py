"""Pitch of sounds whose pitch is known; none of those without."""

import numpy as np
import pytest

from siren_jax.data.captions.pitch import estimate_pitch

RATE = 16000


def tone(hz_S, harmonics=5):
  """A tone of harmonics below 7 kHz; its pitch may move."""
  phase_S = 2 * np.pi * np.cumsum(np.broadcast_to(hz_S, RATE)) / RATE
  count = max(1, min(harmonics, int(7000 / np.max(hz_S))))
  return sum(0.1 * np.sin(k * phase_S) / k for k in range(1, count + 1))


@pytest.mark.parametrize("hz", [41.2, 110, 261.6, 440, 1000, 1976])
def test_a_note_has_its_pitch(hz):
  rng = np.random.default_rng(0)
  pitch = estimate_pitch(tone(hz) + 0.002 * rng.standard_normal(RATE), RATE)
  assert pitch.glide == ""
  assert abs(1200 * np.log2(pitch.hz / hz)) < 12  # cents


def test_a_missing_fundamental_is_detected():
  audio_S = sum(tone(220 * k, 1) for k in (2, 3, 4, 5))
  assert estimate_pitch(audio_S, RATE).hz == pytest.approx(220, rel=0.01)


def test_midi_numbers():
  assert estimate_pitch(tone(440), RATE).midi == pytest.approx(69, abs=0.05)


@pytest.mark.parametrize(
  "first, last, glide", [(300, 900, "rising"), (900, 300, "falling")]
)
def test_a_glide_has_its_direction(first, last, glide):
  pitch = estimate_pitch(tone(np.geomspace(first, last, RATE)), RATE)
  assert pitch.glide == glide


def test_no_pitch_where_there_is_none():
  rng = np.random.default_rng(0)
  noise_S = rng.standard_normal(RATE)
  up_and_down_S = tone(400 + 200 * np.sin(np.arange(RATE) / 1500))
  clang_S = sum(tone(hz, 1) for hz in (220, 313, 467, 571))
  for audio_S in (
    noise_S,
    up_and_down_S,
    clang_S,
    np.zeros(RATE),
    tone(300)[:99],
  ):
    assert estimate_pitch(audio_S, RATE) is None


def test_silence_around_a_note_does_not_matter():
  audio_S = np.concatenate([np.zeros(RATE), tone(440), np.zeros(RATE)])
  assert estimate_pitch(audio_S, RATE).hz == pytest.approx(440, rel=0.005)
