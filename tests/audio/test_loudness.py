"""Loudness, peaks and ends of sounds."""

import numpy as np
import pyloudnorm
import pytest

from siren_jax.audio import loudness
from siren_jax.common.errors import UserError

RATE = 16000


def tone(seconds=2.0, level_db=-20.0, hertz=997.0):
  time_S = np.arange(round(seconds * RATE)) / RATE
  amplitude = np.sqrt(2) * 10 ** (level_db / 20)
  return (amplitude * np.sin(2 * np.pi * hertz * time_S)).astype("f4")


def clicks(seconds=3.0, each=0.25, amplitude=0.5, hiss=1e-3):
  """Decaying bursts of a millisecond in a hiss, after 50 ms of it."""
  rng = np.random.default_rng(0)
  audio_S = rng.normal(0, hiss, round(seconds * RATE))
  burst = amplitude * np.exp(-np.arange(80) / 16) * rng.normal(0, 1, 80)
  for start in range(800, len(audio_S) - 80, round(each * RATE)):
    audio_S[start : start + 80] += burst
  return audio_S.astype("f4")


def test_a_tone_of_1_khz_is_as_loud_as_its_level():
  """BS.1770: a 997 Hz sine of 0 dBFS in one channel has -3.01 LUFS."""
  assert loudness.integrated(tone(), RATE) == pytest.approx(-20, abs=0.1)


def test_silence_has_no_loudness():
  assert loudness.integrated(np.zeros(RATE), RATE) == -np.inf


def test_the_peak_between_samples_counts():
  """A quarter of the rate, an eighth of a turn late: samples miss the top."""
  audio_S = np.sin(np.pi / 2 * np.arange(4000) + np.pi / 4)
  assert np.abs(audio_S).max() < 0.71
  middle = audio_S * np.hanning(4000)
  assert loudness.true_peak(middle) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("level_db", [-100.0, -60.0, -30.0, 0.0, 12.0])
@pytest.mark.parametrize("seconds", [0.1, 0.5, 3.0])
def test_a_sound_is_brought_to_the_target(level_db, seconds):
  audio_S = loudness.level(tone(seconds, level_db), RATE, -23.0)
  assert audio_S.dtype == np.float32
  assert loudness.integrated(audio_S, RATE) == pytest.approx(-23, abs=0.2)


def test_the_dynamics_of_a_sound_stay():
  audio_S = tone() * np.linspace(0.1, 1, 2 * RATE).astype("f4")
  gain_S = loudness.level(audio_S, RATE)[200:-200:7] / audio_S[200:-200:7]
  gain_S = gain_S[np.isfinite(gain_S)]
  np.testing.assert_allclose(gain_S, gain_S[0], rtol=1e-3)


@pytest.mark.parametrize("amplitude", [0.01, 0.5, 20.0])
@pytest.mark.parametrize("target", [-40.0, -23.0, -14.0])
def test_no_peak_passes_the_limit(amplitude, target):
  audio_S = loudness.level(clicks(amplitude=amplitude), RATE, target)
  assert loudness.true_peak(audio_S) <= 10 ** (loudness.TRUE_PEAK / 20) + 1e-6
  assert loudness.integrated(audio_S, RATE) < target + 0.2


def test_peaks_alone_are_turned_down():
  """Scaled down as a whole, it would be 4 LU less loud."""
  audio_S = clicks(hiss=0.05)
  peak = 10 ** (loudness.TRUE_PEAK / 20)
  scaled_S = audio_S * peak / loudness.true_peak(audio_S)
  lowest = loudness.integrated(scaled_S, RATE)
  levelled_S = loudness.level(audio_S, RATE, lowest + 4)
  reached = loudness.integrated(levelled_S, RATE)
  assert reached == pytest.approx(lowest + 4, abs=1)
  # Between the clicks there is one gain.
  gain_S = levelled_S[2000:3500] / audio_S[2000:3500]
  np.testing.assert_allclose(gain_S, gain_S[0], rtol=1e-3)


def test_a_single_click_is_not_blown_up():
  """The hiss around it comes up by what peaks may be turned down."""
  audio_S = clicks(each=10.0)
  levelled_S = loudness.level(audio_S, RATE, -10.0)
  gain = levelled_S[9000] / audio_S[9000]
  most = 10 ** ((loudness.TRUE_PEAK + loudness.LIMITED_DB) / 20)
  assert gain == pytest.approx(most / loudness.true_peak(audio_S), rel=0.01)


@pytest.mark.parametrize("size", [1, 2, 40, 159, 4000])
def test_ends_rise_from_and_fall_to_nothing(size):
  audio_S = loudness.level(np.ones(size, "f4"), RATE)
  assert len(audio_S) == size and np.isfinite(audio_S).all()
  if size > 1:
    assert abs(audio_S[0]) < 0.01 and abs(audio_S[-1]) < 0.01


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_a_sound_may_have_any_length(rate):
  """Shorter than a block of the standard, too."""
  rng = np.random.default_rng(0)
  for size in (*range(1, 40), *rng.integers(40, rate // 2, 40), 2007):
    audio_S = rng.normal(0, 0.1, size)
    levelled_S = loudness.level(audio_S, rate)
    assert levelled_S.shape == (size,) and np.isfinite(levelled_S).all()


@pytest.mark.parametrize("rate", [1000, 2000, 2900, 3000, 3001, 4000])
def test_a_sound_of_a_low_rate_has_its_loudness(rate):
  audio_S = np.random.default_rng(0).normal(0, 0.1, 2 * rate)
  levelled_S = loudness.level(audio_S, rate, -40.0)
  rms = 10 * np.log10(np.mean(levelled_S**2))
  assert -46 < rms < -36
  assert loudness.integrated(levelled_S, rate) == pytest.approx(-40, abs=0.2)


def test_silence_stays_silence():
  assert not loudness.level(np.zeros(RATE, "f4"), RATE).any()


@pytest.mark.parametrize("target", [-70.0, 1.0, float("nan"), float("-inf")])
def test_a_target_out_of_range_is_refused(target):
  with pytest.raises(UserError, match="LUFS"):
    loudness.check_target(target)
  loudness.check_target(None)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_loudness_is_that_of_pyloudnorm(rate):
  """Whatever the length, and with blocks that both gates close."""
  rng = np.random.default_rng(rate)
  for seconds in (0.4, 0.43, 0.47, 1.0, 3.99, 4.0, 4.01, 9.3):
    audio_S = rng.normal(0, 0.1, round(seconds * rate))
    audio_S *= np.geomspace(1e-5, 1, len(audio_S))
    reference = pyloudnorm.Meter(rate).integrated_loudness(audio_S)
    measured = loudness.integrated(audio_S, rate)
    assert measured == pytest.approx(reference, abs=0.01)


@pytest.mark.parametrize("target", [-40.0, -23.0, -14.0])
def test_a_levelled_sound_is_the_same_whichever_slices_are_read(target):
  audio_S = clicks(seconds=9.0, hiss=0.05)
  whole_S = loudness.level(audio_S, RATE, target)
  sound = loudness.levelled(audio_S, RATE, target)
  assert len(sound) == len(audio_S)
  rng = np.random.default_rng(0)
  cuts = [0, *np.sort(rng.integers(0, len(audio_S), 40)), len(audio_S)]
  pieces = [sound[a:b] for a, b in zip(cuts, cuts[1:])]
  np.testing.assert_array_equal(np.concatenate(pieces), whole_S)


def _in_chunks(audio_S, limiter, size):
  chunks = [audio_S[i : i + size] for i in range(0, len(audio_S), size)]
  return np.concatenate([limiter(chunk_S) for chunk_S in chunks])


@pytest.mark.parametrize("size", [1, 37, 1280, 100000])
def test_a_limiter_leaves_what_fits_as_it_is(size):
  audio_S = tone(level_db=-3.02)  # peaks of full scale
  limiter = loudness.Limiter(RATE)
  limited_S = _in_chunks(audio_S, limiter, size)
  np.testing.assert_array_equal(limited_S, audio_S)
  assert limiter.count == 0
  louder_S = _in_chunks(audio_S, loudness.Limiter(RATE, -6.0), size)
  np.testing.assert_allclose(louder_S, audio_S / 10**0.3, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 37, 1280, 100000])
def test_a_limiter_reduces_peaks_and_counts_them(size):
  audio_S = clicks(amplitude=2.0)
  limiter = loudness.Limiter(RATE, 6.0)
  limited_S = _in_chunks(audio_S, limiter, size)
  louder_S = audio_S * np.float32(10**0.3)
  assert limited_S.dtype == np.float32 and np.abs(limited_S).max() <= 1
  assert limiter.count == (np.abs(louder_S) > 1).sum() > 0
  # Between the clicks there is the gain alone.
  np.testing.assert_allclose(limited_S[2000:3500], louder_S[2000:3500], 1e-5)


@pytest.mark.parametrize("gain", [-61.0, 61.0, float("nan"), float("inf")])
def test_a_gain_out_of_range_is_refused(gain):
  with pytest.raises(UserError, match="dB: must be at least -60"):
    loudness.Limiter(RATE, gain)
