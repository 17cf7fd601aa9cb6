"""Facts measured in sounds whose facts are known."""

import dataclasses

import numpy as np
import pytest

from siren_jax.data.captions import describe

RATE = 16000


def sine(hz, seconds, gain=0.5):
  return gain * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)


def pulses(starts, length=0.15, seconds=5.0, floor=1e-4):
  rng = np.random.default_rng(0)
  audio_S = floor * rng.standard_normal(int(seconds * RATE))
  for start in starts:
    first = int(start * RATE)
    audio_S[first : first + int(length * RATE)] += sine(800, length)
  return audio_S


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_counts_separate_events(count):
  starts = 0.5 + 0.7 * np.arange(count)
  facts = describe.facts(pulses(starts), RATE)
  assert facts.count() == len(facts.events) == count
  for start, (first, end) in zip(starts, facts.events, strict=True):
    assert first == pytest.approx(start, abs=0.03)
    assert end == pytest.approx(start + 0.15, abs=0.04)


def test_events_close_together_can_count_as_one():
  facts = describe.facts(pulses([0.5, 0.8, 2.5, 2.8, 3.1]), RATE)
  assert facts.count() == 5
  assert facts.count(gap_seconds=0.5) == 2


def test_continuous_sound_and_buried_events_are_not_counted():
  rng = np.random.default_rng(0)
  noise = describe.facts(0.1 * rng.standard_normal(5 * RATE), RATE)
  assert noise.events == () and noise.count() == 0
  assert noise.rate_hz is None
  buried = describe.facts(pulses([1, 2, 3], floor=0.05), RATE)
  assert buried.events == ()


@pytest.mark.parametrize("rate_hz", [1.0, 2.0, 3.3, 5.0, 8.0])
def test_rate_of_regular_events(rate_hz):
  starts = np.arange(0.1, 4.8, 1 / rate_hz)
  facts = describe.facts(pulses(starts, 0.03), RATE)
  assert facts.rate_hz == pytest.approx(rate_hz, rel=0.03)


@pytest.mark.parametrize("starts", [[1.0], [0.5, 0.75], [0.4, 0.9, 2.7, 3.0]])
def test_no_rate_without_regularity(starts):
  assert describe.facts(pulses(starts, 0.03), RATE).rate_hz is None


def test_loudness_counts_the_active_part_only():
  silence = np.zeros(2 * RATE)
  audio_S = np.concatenate([silence, sine(440, 1.0), silence])
  facts = describe.facts(audio_S, RATE)
  assert facts.loudness_dbfs == pytest.approx(
    20 * np.log10(0.5) - 3.01, abs=0.3
  )
  assert facts.active_fraction == pytest.approx(0.2, abs=0.02)
  quieter = describe.facts(0.1 * audio_S, RATE)
  assert facts.loudness_dbfs - quieter.loudness_dbfs == pytest.approx(20)
  assert (facts.level, quieter.level) == ("loud", None) or facts.level is None


@pytest.mark.parametrize(
  "gain, level", [(0.9, "loud"), (0.1, None), (0.01, "quiet")]
)
def test_level_follows_the_gain(gain, level):
  assert describe.facts(sine(440, 1.0, gain), RATE).level == level


@pytest.mark.parametrize("hz", [200, 1500, 5000])
def test_the_centroid_of_a_sine_is_its_frequency(hz):
  facts = describe.facts(sine(hz, 1.0), RATE)
  assert facts.centroid_hz == pytest.approx(hz, rel=0.05)


@pytest.mark.parametrize("size", [1, 100, RATE])
def test_silence_has_no_facts(size):
  facts = describe.facts(np.zeros(size), RATE)
  assert facts.events == () and facts.rate_hz is None
  assert facts.active_fraction == 0


def test_frame_power_is_the_mean_square():
  rng = np.random.default_rng(0)
  audio_S = rng.standard_normal(RATE).astype(np.float32)
  power_T = describe.frame_power(audio_S, RATE)
  for t in (0, 7, len(power_T) - 1):
    frame_S = audio_S[160 * t : 160 * t + 320]
    assert power_T[t] == pytest.approx(np.mean(frame_S**2.0), rel=1e-6)


def test_events_whose_number_is_unclear_are_not_counted():
  audio_S = pulses([1.0, 2.0])
  second = slice(round(1.9 * RATE), round(2.3 * RATE))
  for gain, count in ((0.5, 2), (0.28, 0), (0.1, 1)):  # -6, -11 and -20 dB
    changed_S = audio_S.copy()
    changed_S[second] *= gain
    assert describe.facts(changed_S, RATE).count() == count


@pytest.mark.parametrize(
  "seconds, length", [(0.2, "short"), (1.0, None), (4.0, "long")]
)
def test_length_is_that_of_the_active_part(seconds, length):
  silence = np.zeros(RATE)
  audio_S = np.concatenate([silence, sine(440, seconds), silence])
  facts = describe.facts(audio_S, RATE)
  assert facts.length == length
  assert facts.seconds == pytest.approx(seconds, abs=0.03)


def test_a_tone_has_a_pitch_and_noise_has_none():
  assert describe.facts(sine(440, 1.0), RATE).pitch.hz == pytest.approx(
    440, rel=0.01
  )
  rng = np.random.default_rng(0)
  assert describe.facts(rng.standard_normal(RATE), RATE).pitch is None


def test_an_unknown_level_is_not_mentioned():
  facts = describe.facts(sine(440, 1.0, 0.9), RATE)
  assert facts.level == "loud"
  assert dataclasses.replace(facts, loudness_dbfs=None).level is None
