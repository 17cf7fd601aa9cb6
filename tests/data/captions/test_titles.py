"""Titles: English phrases, names of files, notes."""

import pytest

from siren_jax.common.errors import UserError
from siren_jax.data.captions import book, titles, wording
from siren_jax.data.captions.titles import Title


@pytest.mark.parametrize(
  "title, expected",
  [
    ("a candle holder", Title("a candle holder")),
    (
      "an accordion playing a single note (C4)",
      Title(
        "an accordion playing a single note",
        60,
        "an accordion",
        "a single note",
      ),
    ),
    (
      "a growly electric bass note (Bb1)",
      Title(
        "a growly electric bass note",
        34,
        "a growly electric bass",
        "a single note",
      ),
    ),
    (
      "a 12-string guitar playing a chord",
      Title(
        "a 12-string guitar playing a chord",
        who="a 12-string guitar",
        what="a chord",
      ),
    ),
    ("a kick drum (jazz kit)", Title("a kick drum")),
    (
      "violas playing pizzicato playing a rising scale",
      Title("violas playing a rising scale pizzicato"),
    ),
    (
      "voices singing oh playing a note (B2)",
      Title("voices singing oh", 47),
    ),
    ("Dog Barking", None),
    ("dog_bark 01.wav", None),
    ("sea, rocky beach 1", None),
    ("pheiland", None),
    ("a {b}", None),
    ("", None),
  ],
)
def test_english_titles_are_read(title, expected):
  assert titles.parse(title) == expected


@pytest.mark.parametrize(
  "category, title, expected",
  [
    ("rain", "Rain on Plastic Roof.WAV", ("rain on plastic roof",)),
    ("dog bark", "Dog Barking in Brussels Street", ("dog barking",)),
    ("dog bark", "DogBarking_v2.wav", ("dog barking",)),
    ("dog bark", "20091211.barking.stairs.wav", ()),
    ("rain", "pheiland", ()),
    ("sea waves", "Branding_kort.wav", ()),
    ("rooster", "bees buzzing.aif", ()),
    ("chainsaw", "chainsaw.wav", ()),  # the label already says it
    ("helicopter", "Helicopter Fly By", ()),
    ("person sneeze", "Female Sneeze", ("female sneeze",)),
    ("rain", "Tent - int - rain on canvas.wav", ("rain on canvas",)),
  ],
)
def test_names_of_files_lose_their_junk(category, title, expected):
  assert wording.of_title(title, book.kind(category)) == expected


def test_titles_of_played_notes_are_paraphrased():
  pool = wording.of_title("a banjo playing a chord", book.kind("banjo"))
  assert {"a banjo playing a chord", "banjo chord", "a chord on a banjo"} <= {
    *pool
  }


@pytest.mark.parametrize(
  "name, number",
  [("C4", 60), ("A4", 69), ("C#4", 61), ("Bb1", 34), ("B-1", 11)],
)
def test_notes_have_midi_numbers(name, number):
  assert titles.midi(name) == number


@pytest.mark.parametrize("name", ["H4", "c4", "C", "C##4", ""])
def test_what_is_no_note_is_refused(name):
  with pytest.raises(UserError, match="note"):
    titles.midi(name)


@pytest.mark.parametrize("number", range(12, 120))
def test_names_of_notes_lead_back(number):
  first, *others = titles.note_names(number)
  assert titles.midi(first) == number
  assert ("middle C" in others) == (number == 60)
