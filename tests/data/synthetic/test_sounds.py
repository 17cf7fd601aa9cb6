"""Synthetic sounds: repeatable, well formed, and honestly captioned."""

import itertools
import re

import numpy as np
import pytest

from siren_jax.common.errors import UserError
from siren_jax.data.synthetic import captions as synthetic_captions
from siren_jax.data.synthetic import sounds as synthetic
from siren_jax.data.synthetic.captions import captions_of

RATE = 16000
KINDS = {
  "tone", "beeps", "sweep", "chord", "tremolo", "siren", "clicks", "noise",
  "bursts", "sequence", "mixture",
}  # fmt: skip


@pytest.fixture(scope="module")
def sounds():
  return list(synthetic.make_set(150, 3, RATE, 4.0))


def test_every_kind_is_made(sounds):
  assert {sound.truth["kind"] for sound in sounds} == KINDS


def test_sounds_are_well_formed(sounds):
  for sound in sounds:
    assert sound.audio_S.shape == (4 * RATE,)
    assert sound.audio_S.dtype == np.float32
    assert 0.15 < np.abs(sound.audio_S).max() <= 0.85
    assert len(set(sound.captions)) == len(sound.captions) >= 3
    assert all(c == " ".join(c.split()) for c in sound.captions)


def test_same_seed_same_sound():
  first, again = (synthetic.make(5, RATE, 4.0) for _ in range(2))
  other = synthetic.make(6, RATE, 4.0)
  np.testing.assert_array_equal(first.audio_S, again.audio_S)
  assert (first.captions, first.truth) == (again.captions, again.truth)
  assert np.abs(first.audio_S - other.audio_S).max() > 0.01


def test_a_sound_of_a_set_depends_on_its_place_alone(sounds):
  few = list(itertools.islice(synthetic.make_set(5, 3, RATE, 4.0), 3))
  for short, long in zip(few, sounds, strict=False):
    np.testing.assert_array_equal(short.audio_S, long.audio_S)
  other = next(synthetic.make_set(1, 4, RATE, 4.0))
  assert not np.array_equal(other.audio_S, sounds[0].audio_S)


@pytest.mark.parametrize("rate, seconds", [(8000, 1.0), (44100, 2.0)])
def test_other_rates_and_lengths(rate, seconds):
  for sound in synthetic.make_set(30, 0, rate, seconds):
    assert sound.audio_S.shape == (round(rate * seconds),)
    assert np.isfinite(sound.audio_S).all()
    assert "parts" not in sound.truth  # no room for two


@pytest.mark.parametrize(
  "rate, seconds, match", [(4000, 5.0, "sample rate 4000"), (RATE, 0.2, "0.2")]
)
def test_impossible_requests_are_refused(rate, seconds, match):
  with pytest.raises(UserError, match=match):
    synthetic.make(0, rate, seconds)


def test_the_parts_of_a_pair_make_different_claims(sounds):
  for sound in sounds:
    if sound.truth["kind"] == "sequence":
      first, second = sound.truth["parts"]
      assert first["kind"] != second["kind"] or any(
        first[key] != second[key]
        for key in first.keys() & second.keys() - {"count"}
      )


# What a caption must, and must not, say for a claim to be made.
WORDS = {
  "low": r"\blow|\bdeep|\bbass",
  "middle": r"\bmid|medium|without lows and highs",
  "high": r"\bhigh|\bhiss",
  "up": r"rising|up\b|upward|low to (a )?high|higher",
  "down": r"falling|down\b|downward|high to (a )?low|lower",
  "slow": r"\bslow\b",
  "fast": r"\b(fast|rapid|quick)\b",
  "major": r"\bmajor\b",
  "minor": r"\bminor\b",
}
RIVALS = (
  {"low", "middle", "high"}, {"up", "down"}, {"slow", "fast"},
  {"major", "minor"},
)  # fmt: skip
SINGLES = [
  {"kind": "tone"},
  *({"kind": "tone", "pitch": p} for p in ("low", "middle", "high")),
  *({"kind": "beeps", "count": 2, "pitch": p} for p in ("low", "high")),
  *({"kind": "sweep", "direction": d} for d in ("up", "down")),
  *({"kind": "chord", "quality": q} for q in ("major", "minor")),
  {"kind": "chord", "quality": "minor", "root": "F"},
  *({"kind": "tremolo", "speed": s} for s in ("slow", "fast")),
  *({"kind": "clicks", "speed": s} for s in ("slow", "fast")),
  *({"kind": "noise", "band": b} for b in ("low", "middle", "high")),
]


@pytest.mark.parametrize("truth", SINGLES, ids=str)
def test_captions_say_the_claims_and_no_rival(truth):
  said = captions_of(truth)
  assert len(said) >= 4
  values = set(truth.values()) & WORDS.keys()
  rivals = set().union(*RIVALS) - values
  for value, text in itertools.product(values, said):
    assert re.search(WORDS[value], text), text
  if truth["kind"] == "sweep":
    rivals -= {"low", "middle", "high"}
  said = [text.replace("without lows and highs", "") for text in said]
  for value, text in itertools.product(rivals, said):
    assert not re.search(WORDS[value], text), text


@pytest.mark.parametrize("kind", ["beeps", "bursts"])
@pytest.mark.parametrize("count", range(1, 7))
def test_captions_say_the_count_and_no_other(kind, count):
  words = ["single|one|once", "two", "three", "four", "five", "six"]
  for text in captions_of({"kind": kind, "count": count}):
    counts = [bool(re.search(rf"\b({w})\b", text)) for w in words]
    assert counts == [n == count for n in range(1, 7)], text


def test_captions_say_frequency_and_rate():
  for text in captions_of({"kind": "tone", "hz": 440}):
    assert re.findall(r"\d+", text) == ["440"]
  for text in captions_of({"kind": "clicks", "rate_hz": 4}):
    assert len(re.findall(r"\b(4|four)\b", text)) == 1


def test_captions_keep_the_order_of_a_sequence():
  parts = [{"kind": "siren", "style": "wailing"}, {"kind": "tone"}]
  said = captions_of({"kind": "sequence", "parts": parts})
  assert len(said) >= 6
  for text in said:
    first = text.index("siren")
    second = re.search(r"\b(tone|note)\b", text).start()
    reverse = " after a" in text and "after that" not in text
    assert (first > second) == reverse, text


@pytest.mark.parametrize(
  "text, tidy",
  [
    ("a  tone ,  then a F minor chord", "a tone, then an F minor chord"),
    ("a 880 Hz tone", "an 880 Hz tone"),
    ("a European siren", "a European siren"),
    ("a emergency siren", "an emergency siren"),
    ("a A minor chord", "an A minor chord"),
  ],
)
def test_captions_get_the_right_articles_and_single_spaces(text, tidy):
  assert synthetic_captions._tidy(text) == tidy
