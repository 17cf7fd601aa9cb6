"""The phrase book: enough words, the right ones, and only true ones."""

import re
import subprocess
import sys

import numpy as np
import pytest

from siren_jax.common.errors import UserError
from siren_jax.data.captions import phrasebook
from siren_jax.data.captions.describe import Facts

CATEGORIES = phrasebook.categories()
ESC10 = {
  "dog bark", "rooster", "baby cry", "person sneeze", "clock tick",
  "sea waves", "rain", "fire crackling", "helicopter", "chainsaw",
}  # fmt: skip


def plain(text):
  return " ".join(re.findall(r"[^\W_]+", text.lower()))


def some_facts(loudness=-20.0, count=0, rate=None):
  events = tuple((float(t), t + 0.2) for t in range(count))
  return Facts(loudness, 0.5, 1000.0, events, rate)


def many_captions(category, title="", facts=None, n=600):
  rng = np.random.default_rng(0)
  return phrasebook.captions_for(category, title, facts, rng, n)


def test_covers_esc10():
  assert set(CATEGORIES) == ESC10


@pytest.mark.parametrize("category", CATEGORIES)
def test_many_different_phrasings(category):
  phrases = phrasebook.phrases(category)
  assert len({plain(text) for text in phrases}) >= 120
  assert all(text == " ".join(text.split()) and text for text in phrases)
  assert not any(set(text) & set("{}_") for text in phrases)


def test_no_phrasing_means_two_things():
  owner = {}
  for category in CATEGORIES:
    held_out = phrasebook.held_out(category)
    for text in {*map(plain, phrasebook.phrases(category) + held_out)}:
      assert owner.setdefault(text, category) == category, text


def test_held_out_phrasings_are_never_training_captions():
  templates = phrasebook._templates("plain")
  for category in CATEGORIES:
    held_out = {plain(text) for text in phrasebook.held_out(category)}
    assert len(held_out) == 20
    seen = {plain(text) for text in phrasebook.phrases(category)}
    nouns = phrasebook._entry(category)["nouns"]
    seen |= {plain(t.format(x=x, h=x)) for t in templates for x in nouns}
    assert not held_out & seen


@pytest.mark.parametrize("category", [*CATEGORIES, "mouse_click"])
def test_captions_are_different_filled_and_repeatable(category):
  captions = many_captions(category, "Some_title 01.wav", some_facts(), n=40)
  assert len(set(captions)) == len(captions) == 40
  assert not any(set(text) & set("{}_") for text in captions)
  again = many_captions(category, "Some_title 01.wav", some_facts(), n=40)
  assert captions == again


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_counted_bark_is_said_and_only_that_number(count):
  without = set(many_captions("dog bark", n=3000))
  said = set(many_captions("dog bark", "", some_facts(count=count), n=3000))
  words = ["a single", "two", "three", "four"]
  added = {text for text in said - without if re.search(r"\bbarks?\b", text)}
  mine = words[count - 1]
  assert any(text.startswith(f"{mine} bark") for text in added)
  for other in set(words) - {mine}:
    assert not any(re.match(rf"{other} (dog )?barks?\b", t) for t in added)


def test_many_barks_are_not_counted():
  said = many_captions("dog bark", "", some_facts(count=9), n=2000)
  assert not any(re.match(r"(\d|nine|\w+) barks in a row", t) for t in said)


@pytest.mark.parametrize(
  "loudness, far, near", [(-45, True, False), (-8, False, True), (-20, 0, 0)]
)
def test_distance_is_said_where_the_level_shows_it(loudness, far, near):
  said = " | ".join(many_captions("helicopter", "", some_facts(loudness)))
  assert ("in the distance" in said) == far
  assert ("close up" in said) == near


def test_soft_sounds_are_not_called_distant():
  said = " | ".join(many_captions("clock tick", "", some_facts(-45)))
  assert "distan" not in said and "far" not in re.findall(r"\w+", said)


@pytest.mark.parametrize(
  "rate, slow, fast",
  [(1.0, True, False), (2.0, False, False), (5.0, False, True), (None, 0, 0)],
)
def test_ticking_is_called_slow_or_fast_by_its_rate(rate, slow, fast):
  said = " | ".join(many_captions("clock tick", "", some_facts(rate=rate)))
  assert ("slow, regular" in said) == slow
  assert bool(re.search(r"ticking, fast|rapid ticking", said)) == fast


@pytest.mark.parametrize(
  "category, title, expected",
  [
    ("rain", "Rain on Plastic Roof.WAV", ["rain on plastic roof"]),
    ("dog bark", "Dog Barking in Brussels Street", ["dog barking"]),
    ("dog bark", "DogBarking_v2.wav", ["dog barking"]),
    ("dog bark", "20091211.barking.stairs.wav", []),
    ("rain", "pheiland", []),
    ("sea waves", "Branding_kort.wav", []),
    ("rooster", "bees buzzing.aif", []),
    ("chainsaw", "chainsaw.wav", []),  # the label already says it
    ("helicopter", "Helicopter Fly By", []),
    ("person sneeze", "Female Sneeze", ["female sneeze"]),
  ],
)
def test_titles_lose_their_junk(category, title, expected):
  entry = phrasebook._entry(category)
  assert phrasebook._title_captions(title, entry) == expected


def test_titles_are_used():
  title = "Tent - int - rain on canvas.wav"
  assert "rain on canvas" in phrasebook._title_captions(
    title, phrasebook._entry("rain")
  )


@pytest.mark.parametrize(
  "name, category",
  [
    ("crying_baby", "baby cry"),
    ("Dog", "dog bark"),
    ("sneezing", "person sneeze"),
    ("sea_waves", "sea waves"),
    ("crackling_fire", "fire crackling"),
    ("clock_tick", "clock tick"),
  ],
)
def test_names_of_esc50_reach_the_book(name, category):
  assert phrasebook.phrases(name) == phrasebook.phrases(category)


def test_any_label_gets_captions_about_itself():
  said = many_captions("door_wood_knock", "", some_facts(-45), n=50)
  assert len(said) == 50
  assert all("door wood knock" in text for text in said)


@pytest.mark.parametrize("label", ["", "  ", "--"])
def test_a_label_without_words_is_refused(label):
  with pytest.raises(UserError, match="holds no word"):
    phrasebook.phrases(label)


def test_mixtures_name_both_sounds():
  rng = np.random.default_rng(1)
  said = phrasebook.mixture_captions("mouse click", "siren", rng, 20)
  assert len(set(said)) == len(said) >= 15
  assert all("mouse click" in text and "siren" in text for text in said)
  said = phrasebook.mixture_captions("dog bark", "rain", rng, 400)
  assert any(text.endswith("in the rain") for text in said)


def test_sequences_keep_the_order():
  rng = np.random.default_rng(1)
  said = phrasebook.mixture_captions("horn", "bell", rng, 20, sequence=True)
  assert len(said) >= 6
  for text in said:
    assert (text.index("horn") > text.index("bell")) == ("after" in text), text


@pytest.mark.parametrize(
  "name, section, words",
  [
    ("bd_haus", "Bass Drums", "house"),
    ("drum_tom_hi_soft", "Drums", "tom"),
    ("tabla_ghe3", "Tabla", "tabla"),
    ("loop_amen_full", "Loops", "amen|break"),
    ("hat_gnu", "Hi-hats", "hat"),
    ("bd_unheard_of", "Bass Drums", "kick|bass drum"),
    ("unheard_of", "Snares", "snare"),
    ("perc_bell2", "", "bell"),
    ("my_own_thing", "", "my own thing"),
  ],
)
def test_captions_of_an_instrument_differ_and_name_it(name, section, words):
  rng = np.random.default_rng(2)
  said = phrasebook.instrument_captions(name, section, rng, 30)
  assert len(set(said)) == len(said) == 30
  assert any(re.search(words, text) for text in said)
  assert not any(set(text) & set("{}_") for text in said)


def test_the_book_is_read_only_when_asked():
  code = (
    "from siren_jax.data.captions import phrasebook as p;"
    "assert p._book.cache_info().currsize == 0; p.categories();"
    "assert p._book.cache_info().currsize == 1"
  )
  subprocess.run([sys.executable, "-c", code], check=True)
