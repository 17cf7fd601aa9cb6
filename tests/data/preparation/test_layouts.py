"""Layouts: as many takes as they say, in order, within the window."""

import numpy as np
import pytest

from siren_jax.data.captions import describe
from siren_jax.data.preparation import layouts

RATE = 16000
SIZE = 5 * RATE


def burst(seconds, hz=600.0):
  """A decaying tone."""
  time_S = np.arange(round(seconds * RATE)) / RATE
  decay_S = np.exp(-4 * time_S / seconds)
  return (0.5 * decay_S * np.sin(2 * np.pi * hz * time_S)).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.6, 1.2, 2.0])
@pytest.mark.parametrize("seed", range(12))
def test_the_number_of_bursts_is_the_number_of_takes(seconds, seed):
  rng = np.random.default_rng(seed)
  layout = layouts.repeated(burst(seconds), SIZE, RATE, 0.2, rng)
  count = len(layout.spans)
  assert 2 <= count <= layouts.MOST_TAKES
  assert layout.audio_S.size <= SIZE and layout.audio_S.dtype == np.float32
  padded_S = np.pad(layout.audio_S, (0, 6 * RATE - layout.audio_S.size))
  facts = describe.facts(padded_S, RATE)
  assert facts.count() == count
  starts = [start for start, _ in layout.spans]
  assert starts == pytest.approx([a for a, _ in facts.events], abs=0.03)
  gaps = [b - a for (_, a), (b, _) in zip(layout.spans, layout.spans[1:])]
  assert min(gaps) >= 0.2


def test_layouts_differ_and_are_repeatable():
  def layout(seed):
    rng = np.random.default_rng(seed)
    return layouts.repeated(burst(0.2), SIZE, RATE, 0.1, rng)

  every = [layout(seed) for seed in range(40)]
  assert {len(m.spans) for m in every} == set(range(2, 7))
  assert {m.even for m in every} == {True, False}
  np.testing.assert_array_equal(layout(3).audio_S, every[3].audio_S)


def test_even_takes_have_a_rate_uneven_ones_none():
  for seed in range(40):
    rng = np.random.default_rng(seed)
    layout = layouts.repeated(burst(0.1), SIZE, RATE, 0.1, rng)
    steps = np.diff([start for start, _ in layout.spans])
    if layout.rate_hz is not None:
      assert steps == pytest.approx(1 / layout.rate_hz, abs=0.001)
    if not layout.even:
      assert layout.rate_hz is None and len(steps) > 1
      assert steps.max() - steps.min() > 0.001


def test_no_room_for_two_takes():
  rng = np.random.default_rng(0)
  assert layouts.repeated(burst(2.6), SIZE, RATE, 0.1, rng) is None


def test_silence_around_a_sound_is_no_part_of_it():
  silence = np.zeros(RATE, np.float32)
  audio_S = np.concatenate([silence, burst(0.3) + 0.01, silence])
  size = layouts.trimmed(audio_S, RATE).size
  assert size == pytest.approx(0.3 * RATE, abs=0.03 * RATE)


def test_only_a_sustained_sound_is_steady():
  rng = np.random.default_rng(0)
  noise_S = 0.1 * rng.standard_normal(2 * RATE)
  assert layouts.is_steady(noise_S, RATE)
  assert not layouts.is_steady(noise_S[: RATE // 2], RATE)  # too short
  assert not layouts.is_steady(burst(2.0), RATE)
  assert not layouts.is_steady(noise_S * np.linspace(0, 1, 2 * RATE), RATE)


def test_sounds_follow_each_other_in_order_and_equally_loud():
  sounds = [burst(0.5, 300), 0.01 * burst(0.8, 900), 0.3 * burst(0.3, 2700)]
  audio_S = layouts.in_order(sounds, RATE, np.random.default_rng(0))
  facts = describe.facts(np.pad(audio_S, (0, RATE)), RATE)
  assert facts.count() == 3
  for (start, end), hz in zip(facts.events, (300, 900, 2700), strict=True):
    part_S = audio_S[round(start * RATE) : round(end * RATE)]
    part = describe.facts(part_S, RATE)
    assert part.centroid_hz == pytest.approx(hz, rel=0.1)
    assert part.loudness_dbfs == pytest.approx(-20, abs=4)


@pytest.mark.parametrize("count", [2, 3])
def test_sounds_in_order_fit_their_window(count):
  size = layouts.share(SIZE, count, RATE)
  for seed in range(10):
    audio_S = layouts.in_order(
      [burst(size / RATE)] * count, RATE, np.random.default_rng(seed)
    )
    assert audio_S.size <= SIZE
