"""Names of kinds: which labels mean one, and how others are spelled."""

import numpy as np
import pytest

from siren_jax.common.errors import UserError
from siren_jax.data.captions import phrasebook


@pytest.mark.parametrize(
  "name, category",
  [
    ("crying_baby", "baby cry"),
    ("Dog", "dog bark"),
    ("sneezing", "person sneeze"),
    ("sneeze", "person sneeze"),
    ("sea_waves", "sea waves"),
    ("crackling_fire", "fire crackling"),
    ("clock_tick", "clock tick"),
    ("acoustic_guitar", "acoustic guitar"),
  ],
)
def test_names_of_other_sets_reach_the_book(name, category):
  assert phrasebook.canonical(name) == category
  assert phrasebook.phrases(name) == phrasebook.phrases(category)


def test_what_two_kinds_could_mean_is_neither():
  for label in ("ape", "power saw", "hand bell"):
    assert phrasebook.canonical(label) == label
    assert phrasebook.group(label) == ""


@pytest.mark.parametrize(
  ("label", "name"),
  [
    ("\u0939\u0935\u093e", "\u0939\u0935\u093e"),  # Hindi, with vowel signs
    (
      "\u0e2a\u0e38\u0e19\u0e31\u0e02",
      "\u0e2a\u0e38\u0e19\u0e31\u0e02",
    ),  # Thai
    ("Tu\u0308r_zu", "t\u00fcr zu"),  # decomposed, as macOS writes it
    ("Dog\u2019s bark", "dog's bark"),
    ("rock 'n' roll--live", "rock n roll live"),
    ("x-ray (2)", "x-ray 2"),
  ],
)
def test_labels_keep_the_letters_of_any_script(label, name):
  assert phrasebook.canonical(label) == name
  rng = np.random.default_rng(0)
  captions = phrasebook.captions_for(label, "", None, rng, 5)
  assert any(name in text.lower() for text in captions)


@pytest.mark.parametrize("label", ["", "  ", "--"])
def test_a_label_without_words_is_refused(label):
  with pytest.raises(UserError, match="holds no word"):
    phrasebook.phrases(label)
