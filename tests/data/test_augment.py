import numpy as np
import pytest

from siren_jax.common.errors import UserError
from siren_jax.data import augment

RATE = 8000


def rng(seed=0):
  return np.random.default_rng(seed)


def noise(size, seed=0):
  return (0.1 * rng(seed).standard_normal(size)).astype(np.float32)


def test_default_leaves_the_sound_as_it_is():
  audio_S = noise(RATE)
  out_S = augment.vary(audio_S, RATE, RATE, augment.UNCHANGED, rng())
  np.testing.assert_array_equal(out_S, audio_S)


@pytest.mark.parametrize("size", [1, 300, RATE, 3 * RATE])
@pytest.mark.parametrize("fit", ["silence", "loop"])
def test_any_length_gives_the_window(size, fit):
  config = augment.AugmentConfig((-6, 6), (0.8, 1.25), 0.3, fit)
  for seed in range(5):
    out_S = augment.vary(noise(size), RATE, RATE, config, rng(seed))
    assert out_S.shape == (RATE,) and out_S.dtype == np.float32
    assert np.isfinite(out_S).all() and np.abs(out_S).max() <= 1


def test_same_generator_same_sound():
  config = augment.AugmentConfig((-6, 6), (0.8, 1.25), 0.3)
  one, same, other = (
    augment.vary(noise(2 * RATE), RATE, RATE, config, rng(s)) for s in (1, 1, 2)
  )
  np.testing.assert_array_equal(one, same)
  assert not np.allclose(one, other)


def test_crop_avoids_silence():
  audio_S = np.zeros(10 * RATE, np.float32)
  audio_S[: 2 * RATE] = noise(2 * RATE)
  generator = rng()
  silent = sum(
    not augment.crop(audio_S, RATE, generator).any() for _ in range(200)
  )
  # One draw would be silent four times in five; four draws 0.8**4 = 41 %.
  assert silent < 110
  full = [augment.crop(noise(5 * RATE), RATE, generator) for _ in range(50)]
  assert len({piece.tobytes() for piece in full}) > 45


def test_speed_changes_length_and_pitch():
  t = np.arange(2 * RATE) / RATE
  tone_S = (0.5 * np.sin(2 * np.pi * 500 * t)).astype(np.float32)
  out_S = augment.change_speed(tone_S, 1.2)
  assert abs(out_S.size - tone_S.size / 1.2) < 2
  spectrum = np.abs(np.fft.rfft(out_S * np.hanning(out_S.size)))
  assert abs(spectrum.argmax() * RATE / out_S.size - 600) < 2
  assert augment.rms(out_S) == pytest.approx(augment.rms(tone_S), rel=0.01)


def test_silence_surrounds_a_short_sound():
  short_S = noise(100)
  out_S = augment.fit(short_S, 300, "silence", 50)
  np.testing.assert_array_equal(out_S[50:150], short_S)
  assert not out_S[:50].any() and not out_S[150:].any()
  late_S = augment.fit(short_S, 300, "silence", 999)  # still all of it
  np.testing.assert_array_equal(late_S[200:], short_S)


def test_full_length_sound_goes_round_without_loss_or_click():
  t = np.arange(RATE) / RATE
  tone_S = (0.5 * np.sin(2 * np.pi * 100.3 * t)).astype(np.float32)
  out_S = augment.fit(tone_S, RATE, "silence", 1000)
  assert out_S.shape == (RATE,)
  fade = augment.FADE_SAMPLES
  np.testing.assert_array_equal(
    out_S[1000 : RATE - fade], tone_S[fade : RATE - 1000]
  )
  steepest = np.abs(np.diff(tone_S)).max()
  assert np.abs(np.diff(out_S)).max() < 2 * steepest


def test_a_loop_repeats_a_short_sound():
  short_S = noise(1000)
  out_S = augment.fit(short_S, 5000, "loop", 0)
  period = 1000 - augment.FADE_SAMPLES
  np.testing.assert_array_equal(out_S[period : 2 * period], out_S[:period])
  assert augment.rms(out_S[-500:]) > 0.05


def test_gain_range_and_limit():
  config = augment.AugmentConfig(gain_db=(-6.0, -6.0))
  out_S = augment.vary(noise(RATE), RATE, RATE, config, rng())
  np.testing.assert_allclose(out_S, noise(RATE) * 10 ** (-0.3), rtol=1e-5)
  loud = augment.AugmentConfig(gain_db=(60.0, 60.0))
  out_S = augment.vary(noise(RATE), RATE, RATE, loud, rng())
  assert np.abs(out_S).max() == pytest.approx(1.0)


def test_the_second_sound_is_mixed_in_at_the_given_level():
  first_S, second_S = noise(RATE, 1), 5 * noise(RATE, 2)
  out_S = augment.mix(first_S, second_S, -6.0)
  added_S = out_S - first_S
  ratio = augment.rms(added_S) / augment.rms(first_S)
  assert ratio == pytest.approx(10 ** (-0.3), rel=1e-3)


@pytest.mark.parametrize(
  "setting",
  [
    {"gain_db": (3.0, -3.0)},
    {"speed": (0.0, 1.0)},
    {"fit": "wrap"},
    {"mix": 1.5},
    {"shift_seconds": -1.0},
  ],
)
def test_impossible_settings_are_named(setting):
  with pytest.raises(UserError, match=next(iter(setting))):
    augment.AugmentConfig(**setting)


def test_equalizer_changes_the_spectrum_within_its_range():
  audio_S = noise(4 * RATE)
  config = augment.AugmentConfig(equalizer_db=12)
  out_S = augment.vary(audio_S, audio_S.size, RATE, config, rng(1))
  change_db = 20 * np.log10(
    np.abs(np.fft.rfft(out_S)) / np.abs(np.fft.rfft(audio_S))
  )
  assert np.abs(change_db).max() <= 12.01 and np.ptp(change_db) > 6
  assert np.abs(np.diff(change_db)).max() < 0.5  # no edges


@pytest.mark.parametrize("size", [1, 2, 50])
def test_an_equalized_sound_of_a_few_samples_stays_finite(size):
  config = augment.AugmentConfig(equalizer_db=6)
  out_S = augment.vary(noise(size), size, RATE, config, rng())
  assert out_S.shape == (size,) and np.isfinite(out_S).all()


@pytest.mark.parametrize("name", ["equalizer_db", "shift_seconds"])
def test_negative_ranges_are_refused(name):
  with pytest.raises(UserError, match=f"{name}=-1: must be 0 or more"):
    augment.AugmentConfig(**{name: -1})
