"""The verifier: true sounds score high, untrue ones clearly lower."""

import numpy as np
import pytest

from siren_jax.alignment import claims
from siren_jax.common.errors import UserError
from siren_jax.data.synthetic import sounds as synthetic

RATE = 16000
SECONDS = 4.0
RUMBLE = {"kind": "noise", "band": "low"}


@pytest.fixture(scope="module")
def sounds():
  return list(synthetic.make_set(66, 11, RATE, SECONDS))


def score(truth, audio_S, rate=RATE):
  return claims.verify(truth, audio_S, rate)


def synthesize(**truth):
  """Sounds whose truth is `truth` and no less, from many seeds."""
  maker = getattr(synthetic, f"_{truth['kind']}")
  matching = []
  for seed in range(400):
    audio_S, claim = maker(np.random.default_rng(seed), RATE, SECONDS)
    if claim == truth:
      matching.append(audio_S)
    if len(matching) == 3:
      return matching
  raise AssertionError(f"no sound of {truth}")


def noisy(audio_S, rng):
  power = np.mean(audio_S[np.abs(audio_S) > 0] ** 2)
  noise_S = rng.standard_normal(len(audio_S))
  return audio_S + 10 ** (-30 / 20) * np.sqrt(power) * noise_S


def test_true_sounds_score_high_even_degraded(sounds):
  rng = np.random.default_rng(0)
  rows = []
  for sound in sounds:
    audio_S = sound.audio_S
    delayed_S = np.concatenate([np.zeros(RATE // 2), audio_S])
    versions = (audio_S, noisy(audio_S, rng), delayed_S, 0.05 * audio_S)
    rows.append([score(sound.truth, v) for v in versions])
  rows = np.array(rows)
  worst = [s.truth for s, row in zip(sounds, rows) if row.min() < 0.9]
  assert rows.mean() > 0.98
  assert len(worst) <= len(sounds) // 30, worst
  assert rows[:, 0].min() > 0.7


def test_other_sounds_score_low(sounds):
  rng = np.random.default_rng(1)
  scores = [
    score(sounds[other].truth, sound.audio_S)
    for sound in sounds
    for other in rng.choice(len(sounds), 2, replace=False)
    if sounds[other].truth["kind"] != sound.truth["kind"]
  ]
  assert len(scores) > 80
  assert np.mean(scores) < 0.08
  assert np.quantile(scores, 0.95) < 0.4


# A sound, and what is untrue of it in one point.
UNTRUE = [
  ({"kind": "tone", "pitch": "low"}, {"pitch": "high"}),
  ({"kind": "tone", "pitch": "middle"}, {"pitch": "low"}),
  ({"kind": "tone", "hz": 440}, {"hz": 660}),
  ({"kind": "beeps", "count": 3, "pitch": "high"}, {"count": 2}),
  ({"kind": "beeps", "count": 3, "pitch": "high"}, {"pitch": "middle"}),
  ({"kind": "sweep", "direction": "up"}, {"direction": "down"}),
  ({"kind": "sweep", "direction": "down"}, {"direction": "up"}),
  ({"kind": "tremolo", "speed": "slow"}, {"speed": "fast"}),
  ({"kind": "siren", "style": "wailing"}, {"style": "two-tone"}),
  ({"kind": "siren", "style": "two-tone"}, {"style": "wailing"}),
  ({"kind": "clicks", "speed": "fast"}, {"speed": "slow"}),
  ({"kind": "clicks", "rate_hz": 3}, {"rate_hz": 6}),
  ({"kind": "clicks", "rate_hz": 4}, {"rate_hz": 3}),
  ({"kind": "noise", "band": "full"}, {"band": "high"}),
  ({"kind": "noise", "band": "high"}, {"band": "full"}),
  ({"kind": "noise", "band": "low"}, {"band": "middle"}),
  ({"kind": "bursts", "count": 4}, {"count": 5}),
]


@pytest.mark.parametrize("truth, change", UNTRUE, ids=str)
def test_one_wrong_attribute_costs_most_of_the_score(truth, change):
  for audio_S in synthesize(**truth):
    assert score(truth, audio_S) >= 0.9
    assert score(truth | change, audio_S) <= 0.4


def chord(root_hz, third):
  """A triad of plain sines, made here, not by the maker."""
  steps = np.array([0, third, 7])[:, None]
  phases = root_hz * 2 ** (steps / 12) * np.arange(RATE) / RATE
  return 0.2 * np.sin(2 * np.pi * phases + steps).sum(0)


@pytest.mark.parametrize("root, hz", [("C", 261.63), ("A sharp", 233.08)])
@pytest.mark.parametrize("quality, third", [("major", 4), ("minor", 3)])
def test_a_triad_scores_by_its_root_and_quality(root, hz, quality, third):
  audio_S = chord(hz, third)
  truth = {"kind": "chord", "quality": quality, "root": root}
  other = {"major": "minor", "minor": "major"}[quality]
  assert score(truth, audio_S) >= 0.9
  assert score({"kind": "chord", "quality": quality}, audio_S) >= 0.9
  assert score(truth | {"root": "F"}, audio_S) <= 0.4
  assert score(truth | {"quality": other}, audio_S) <= 0.4


def test_a_miscount_costs_more_the_further_it_is():
  truth = {"kind": "bursts", "count": 5}
  (audio_S, *_) = synthesize(**truth)
  scores = [score(truth | {"count": n}, audio_S) for n in (5, 4, 3, 2)]
  assert scores == sorted(scores, reverse=True)
  assert scores[0] > 2 * scores[1] > 4 * scores[2] > 0


def test_a_pitch_out_of_tune_is_graded():
  def tone(hz):
    return np.sin(2 * np.pi * hz * np.arange(2 * RATE) / RATE)

  truth = {"kind": "tone", "hz": 440}
  scores = [score(truth, tone(440 * 2 ** (s / 12))) for s in (0, 1, 2, 4)]
  assert scores[0] >= 0.99 and scores[-1] == 0.0
  assert scores == sorted(scores, reverse=True)
  assert 0.2 < scores[1] < 0.95


def test_the_order_of_a_sequence_counts(sounds):
  pairs = [s for s in sounds if s.truth["kind"] == "sequence"]
  assert len(pairs) >= 10
  for sound in pairs:
    first, second = sound.truth["parts"]
    swapped = {"kind": "sequence", "parts": [second, first]}
    assert score(swapped, sound.audio_S) <= 0.4, sound.truth
    assert score(first, sound.audio_S) <= 0.65, sound.truth


def test_both_parts_of_a_mixture_count():
  tone_S, noise_S = (
    synthesize(kind="tone", pitch="high")[0],
    synthesize(**RUMBLE)[0],
  )
  size = min(len(tone_S), len(noise_S))
  noise_S = 0.3 * noise_S[:size] * np.std(tone_S) / np.std(noise_S)
  parts = [{"kind": "tone", "pitch": "high"}, RUMBLE]
  truth = {"kind": "mixture", "parts": parts}
  assert score(truth, tone_S[:size] + noise_S) >= 0.9
  assert score(truth, tone_S[:size]) <= 0.2
  assert score(truth, noise_S) <= 0.2
  wrong = [{"kind": "tone", "pitch": "low"}, RUMBLE]
  for pair in (wrong, [parts[0], RUMBLE | {"band": "high"}]):
    mixture = {"kind": "mixture", "parts": pair}
    assert score(mixture, tone_S[:size] + noise_S) <= 0.2


def test_half_of_a_sequence_is_worth_little_but_something():
  parts = [{"kind": "noise", "band": "high"}, {"kind": "bursts", "count": 2}]
  truth = {"kind": "sequence", "parts": parts}
  (noise_S, *_), (bursts_S, *_) = synthesize(**parts[0]), synthesize(**parts[1])
  gap_S = np.zeros(RATE // 2)
  whole = score(truth, np.concatenate([noise_S, gap_S, bursts_S]))
  half = score(truth, np.concatenate([noise_S, gap_S, 0 * bursts_S]))
  assert whole >= 0.9
  assert 0.0 < half <= 0.2


@pytest.mark.parametrize("kind", sorted(claims._CHECKS))
def test_silence_broken_and_tiny_audio_score_nothing(kind):
  truth = {"kind": kind, "pitch": "low", "count": 1, "direction": "up"}
  truth |= {"quality": "minor", "speed": "slow", "style": "wailing"}
  truth |= {"band": "low"}
  broken = (np.full(RATE, np.nan), np.full(RATE, np.inf))
  for audio_S in (np.zeros(RATE), np.ones(10), *broken):
    assert score(truth, audio_S) == 0.0
  rng = np.random.default_rng(0)
  shapes = (
    np.ones(RATE),
    np.eye(1, RATE, 900)[0],
    rng.standard_normal(2000),
    *np.cumsum(rng.standard_normal((4, RATE)), 1),  # all below hearing
  )
  for audio_S in shapes:
    assert 0.0 <= score(truth, audio_S) <= 1.0


def test_a_sequence_of_a_single_click_scores_nothing():
  """Its only burst is the first or last frame, which cannot be cut in two."""
  parts = [{"kind": "noise", "band": "high"}, {"kind": "bursts", "count": 2}]
  for start in (20, 3 * RATE - 120):
    audio_S = np.zeros(3 * RATE)
    audio_S[start : start + 100] = 0.5
    assert score({"kind": "sequence", "parts": parts}, audio_S) <= 0.2


def test_unknown_kinds_are_refused():
  with pytest.raises(UserError, match="kind 'song'"):
    score({"kind": "song"}, np.zeros(RATE))


@pytest.mark.parametrize("rate", [8000, 44100])
def test_true_sounds_score_high_at_other_sample_rates(rate):
  scores = [
    score(sound.truth, sound.audio_S, rate)
    for sound in synthetic.make_set(15, 2, rate, 3.0)
  ]
  assert np.mean(scores) > 0.95
