"""Prompts in words of the training captions: which change, and to what."""

import dataclasses
import re

import numpy as np
import pytest

from siren_jax.data.captions import phrasebook
from siren_jax.weights import bundle, survey
from siren_jax.weights.expansion import expanded
from siren_jax.weights.nearest import KindSearch
from siren_jax.weights.repertoire import Credit, Kind, Repertoire, stored

DOG, RAIN, WORD, DESCRIBED, SEVERAL = AXES = np.eye(5)
# Words that are not in the book, and what they mean.
VECTORS = {"borzoi": DOG, "barking": DOG, "raindance": RAIN, "raindrops": RAIN}


def make(**changes):
  """Texts along the axes: phrases, another word, a description, several."""
  axes = stored(AXES)
  known = Repertoire(
    kinds=(
      Kind("dog bark", "animals", "a Dog barking", 2),
      Kind("rain", "weather", "rain on a roof", 3),
      Kind("wug call", "other", "wug call", 1),  # not in the phrase book
    ),
    credits=(Credit("", "CC0", "", 6),),
    known_IxE=axes[[0, 1, 1]],
    kind_I=np.array([0, 1, 2], np.int32),
    other_IxE=axes[[2]],
    described_IxE=axes[[3]],
    described_kind_I=np.array([0], np.int32),
    several_IxE=axes[[4]],
  )
  return dataclasses.replace(known, **changes)


def word_vectors(words):
  rows = [VECTORS.get(word, WORD) for word in words]
  return np.reshape(rows, (len(rows), len(WORD)))


def expand(prompt, text_E, known=None):
  search = KindSearch(known or make(), lambda text: text_E, word_vectors)
  return expanded(prompt, search)


def unit(*parts):
  vector = np.sum(parts, axis=0)
  return vector / np.linalg.norm(vector)


RIDDLE = "man's best friend Fido has noticed the mailman at the gate"


@pytest.mark.parametrize(
  ("prompt", "text_E", "result"),
  [
    ("zork zork", DOG, "a Dog barking"),
    ("zork zork", unit(0.8 * RAIN, 0.6 * WORD), "rain on a roof"),
    (RIDDLE, DESCRIBED, "a Dog barking"),
    ("a dog barking, zork", SEVERAL, "a Dog barking"),
    ("a dog barking angrily", DOG, "a Dog barking"),
    (f"{RIDDLE} and zork", DESCRIBED, "a Dog barking"),
    (f"{RIDDLE}, far away", DESCRIBED, "a Dog barking, in the distance"),
    ("three hoarse barks, close by", DOG,
     "a Dog barking, close up, three times"),
    ("borzoi barking, then raindance", SEVERAL,
     "a Dog barking, then rain on a roof"),
    ("borzoi barking twice and raindance", SEVERAL,
     "a Dog barking, twice and rain on a roof"),
    ("a dog barking while a zork, then zork", SEVERAL, "a Dog barking"),
    ("A borzoi barking. Raindance.", SEVERAL, "a Dog barking. rain on a roof"),
    ("borzoi barking, then raindance", DOG, "a Dog barking"),
    ("borzoi barking dogs before rain falls; zork", DOG,
     "a Dog barking before rain on a roof"),
    ("far away, borzoi barking & raindance", SEVERAL,
     "a Dog barking, in the distance & rain on a roof"),
    (", borzoi , ; . zork, ", DOG, "a Dog barking"),
    ("!!!", DOG, "!!!"),
  ],
  ids=["unknown", "nearest", "described", "with a comma", "named", "with and",
       "fact", "count and level", "two", "two with a fact", "one is unknown",
       "two sentences", "captions of one are nearer", "two are named",
       "begins with a fact", "parts without words", "no words"],
)  # fmt: skip
def test_unusual_words_become_those_of_captions(prompt, text_E, result):
  assert expand(prompt, text_E) == result


@pytest.mark.parametrize(
  "prompt",
  [
    "a dog barking",
    "Rain on the roof.",
    "DOG BARK",
    "wug call",
    "The wug call!",
  ]
  + list(phrasebook.phrases("dog bark")[:5]),
)
def test_known_words_stay_wherever_they_are(prompt):
  assert expand(prompt, DESCRIBED) == prompt


@pytest.mark.parametrize(
  "prompt",
  [
    "rain on a roof and a dog barking",
    "first a dog bark, then the rain",
    "a wug call while rain falls",
  ],
)
def test_captions_of_several_kinds_stay(prompt):
  assert expand(prompt, DESCRIBED) == prompt


@pytest.mark.parametrize(
  "prompt",
  [
    "The sound of rain on the roof, far away",
    "I hear a dog barking in the distance.",
    "a dog bark, three times in a row",
    "a dog barking and a dog bark",
  ],
)
def test_words_of_captions_around_a_phrase_are_known(prompt):
  text_E = unit(DOG, RAIN)
  assert expand(prompt, text_E) == prompt
  assert expand(f"{prompt} zork", text_E) != prompt


def test_without_captions_of_several_nothing_is_expanded():
  known = make(several_IxE=stored(AXES[:0]))
  for text_E in AXES:
    assert expand(RIDDLE, text_E, known) == RIDDLE


def test_kinds_may_have_no_descriptions():
  known = make(
    described_IxE=stored(AXES[:0]), described_kind_I=np.zeros(0, np.int32)
  )
  text_E = unit(0.8 * RAIN, 0.6 * WORD)
  assert expand("zork", text_E, known) == "rain on a roof"


def test_texts_of_several_kinds_name_two_or_three():
  names = ("dog bark", "rain", "snare drum")
  texts = survey.several(names, 40)
  assert len(texts) == 40 == len(survey.several(names[:2], 40))
  assert survey.several(names[:1], 40) == []
  assert texts == survey.several(names, 40)
  words = {"dog bark": "dog|bark|puppy|hound", "rain": "rain|drizzle|downpour"}
  both = [all(re.search(w, t.lower()) for w in words.values()) for t in texts]
  assert 0.1 < np.mean(both) < 0.9


def test_names_that_no_caption_takes_end():
  """Two noises in a caption are always drawn again."""
  assert survey.several(("engine noise", "fan noise"), 40) == []


@pytest.fixture(scope="module")
def built_in():
  model = bundle.load()

  def embed(text):
    return np.asarray(model.clap.encode_text([text], log_cuts=False)[2])[0]

  return KindSearch(model.repertoire, embed, model.clap.word_vectors)


@pytest.mark.parametrize(
  ("prompt", "result"),
  [
    ("barking dog far away", "barking dog far away"),
    ("rain, then a dog barking", "rain, then a dog barking"),
    ("the bird that wakes the farm", "a rooster crowing"),
    ("a crow cawing angrily, far away", "a crow cawing, in the distance"),
    ("a whippet yapping, then a gate creaking",
     "a dog barking, then a creaking door"),
  ],
)  # fmt: skip
def test_the_built_in_model_expands_as_the_documentation_says(
  built_in, prompt, result
):
  assert expanded(prompt, built_in) == result


def test_captions_stay_as_they_are(built_in):
  """Phrases of kinds, and captions of several."""
  kinds = built_in.known.kinds
  texts = survey.several([kind.name for kind in kinds], 100)
  for kind in kinds[::20]:
    texts += [kind.name, kind.example, *phrasebook.phrases(kind.name)[:3]]
  assert [text for text in texts if expanded(text, built_in) != text] == []
