"""Prompts in words of the training captions: which, and which stay."""

import dataclasses
import re

import numpy as np
import pytest

from siren_jax.data.captions import phrasebook
from siren_jax.weights import bundle, survey
from siren_jax.weights.expansion import expanded
from siren_jax.weights.repertoire import Credit, Kind, Repertoire, stored

DOG, RAIN, WORD, DESCRIBED, SEVERAL = AXES = np.eye(5)


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


def unit(*parts):
  vector = np.sum(parts, axis=0)
  return vector / np.linalg.norm(vector)


RIDDLE = "man's best friend Fido has noticed the mailman at the gate"


@pytest.mark.parametrize(
  ("prompt", "text_E", "result"),
  [
    ("zork zork", DOG, "a Dog barking"),
    ("zork and zork", SEVERAL, "zork and zork"),
    ("zork zork", unit(0.8 * RAIN, 0.6 * WORD), "rain on a roof"),
    (RIDDLE, DESCRIBED, "a Dog barking"),
    (RIDDLE, unit(DESCRIBED, 0.95 * SEVERAL), "a Dog barking"),
    (RIDDLE, unit(0.5 * DESCRIBED, WORD), "a Dog barking"),
    (f"{RIDDLE} far away", DESCRIBED, f"a Dog barking, {RIDDLE} far away"),
    (f"{RIDDLE}, zork", DESCRIBED, f"a Dog barking, {RIDDLE}, zork"),
    (f"{RIDDLE} and zork", DESCRIBED, f"a Dog barking, {RIDDLE} and zork"),
    (
      f"wug call: {RIDDLE}",
      unit(DESCRIBED, 0.6 * RAIN),
      f"a Dog barking, wug call: {RIDDLE}",
    ),
    ("dog bark zork", DOG, "dog bark zork"),
    ("dog bark zork", DESCRIBED, "a Dog barking, dog bark zork"),
    ("dog bark rain zork", DESCRIBED, "a Dog barking, dog bark rain zork"),
    ("a dog barking, zork", SEVERAL, "a dog barking, zork"),
    (f"{RIDDLE}, then zork", SEVERAL, f"{RIDDLE}, then zork"),
  ],
  ids=["unknown", "several", "new", "described", "not joined", "unsure",
       "described with a fact", "with a comma", "with and",
       "another kind is named", "means the same", "named",
       "named but not joined", "named with others", "joined"],
)  # fmt: skip
def test_words_and_place_of_a_text_say_what_it_is(prompt, text_E, result):
  assert expanded(prompt, text_E, make()) == result


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
  assert expanded(prompt, DESCRIBED, make()) == prompt


@pytest.mark.parametrize(
  "prompt",
  [
    "rain on a roof and a dog barking",
    "first a dog bark, then the rain",
    "a wug call while rain falls",
  ],
)
def test_a_prompt_that_names_several_kinds_stays(prompt):
  assert expanded(prompt, DESCRIBED, make()) == prompt


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
  assert expanded(prompt, text_E, make()) == prompt
  assert expanded(f"{prompt} zork", text_E, make()).endswith(f", {prompt} zork")


def test_without_captions_of_several_nothing_is_expanded():
  known = make(several_IxE=stored(AXES[:0]))
  for text_E in AXES:
    assert expanded(RIDDLE, text_E, known) == RIDDLE


def test_kinds_may_have_no_descriptions():
  known = make(
    described_IxE=stored(AXES[:0]), described_kind_I=np.zeros(0, np.int32)
  )
  text_E = unit(0.8 * RAIN, 0.6 * WORD)
  assert expanded("zork", text_E, known) == "rain on a roof"


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


def test_the_built_in_model_expands_as_the_documentation_says():
  model = bundle.load()
  table = {
    "barking dog": "barking dog",
    "rain, then a dog barking": "rain, then a dog barking",
    "the bird that wakes the farm": "a rooster crowing",
    "a crow cawing angrily": "a crow cawing, a crow cawing angrily",
  }
  texts_IxE = survey.embed(model.clap, list(table))
  for (prompt, result), text_E in zip(table.items(), texts_IxE, strict=True):
    assert expanded(prompt, text_E, model.repertoire) == result
  for kind in model.repertoire.kinds[::20]:
    for text in (kind.name, kind.example, *phrasebook.phrases(kind.name)[:3]):
      assert expanded(text, texts_IxE[2], model.repertoire) == text
