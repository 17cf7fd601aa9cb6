"""The kinds nearest to a prompt: by its embedding, and by its words."""

import numpy as np
import pytest

from siren_jax.data.captions import phrasebook
from siren_jax.weights import bundle, nearest, survey
from siren_jax.weights.repertoire import (
  Credit,
  Kind,
  Repertoire,
  cosines,
  stored,
)

DOG, CAT, WUG, OTHER = AXES = np.eye(4)
KINDS = ("dog bark", "cat meow", "wug call")  # the last is not in the book


def make():
  axes = stored(AXES)
  return Repertoire(
    kinds=tuple(
      Kind(name, "animals", phrasebook.example(name), 1) for name in KINDS
    ),
    credits=(Credit("", "CC0", "", 3),),
    known_IxE=axes[:3],
    kind_I=np.arange(3, dtype=np.int32),
    other_IxE=axes[3:],
    described_IxE=axes[:1],
    described_kind_I=np.array([1], np.int32),
    several_IxE=axes[3:],
  )


def scores(prompt, text_E):
  known = make()
  phrase_I = cosines(known.known_IxE, text_E)
  described_I = cosines(known.described_IxE, text_E)
  return nearest.scores(prompt, phrase_I, described_I, known)


def names(prompt, text_E, count=3):
  kinds = nearest.closest(prompt, text_E, make(), count)
  return [kind.name for kind in kinds]


def test_unknown_words_leave_it_to_the_embedding():
  assert names("zork", 0.8 * CAT + 0.6 * WUG) == ["cat meow", "wug call",
                                                  "dog bark"]  # fmt: skip
  np.testing.assert_allclose(
    scores("zork", 0.8 * CAT + 0.6 * WUG), [0, 0.8, 0.6],
    atol=1e-6,
  )  # fmt: skip


def test_a_description_counts_as_its_kind():
  """The embedding along DOG is also that of a description of a cat."""
  dog, cat, wug = scores("zork", DOG)
  assert dog == pytest.approx(1) == cat and wug == 0


@pytest.mark.parametrize(
  ("prompt", "name"),
  [
    ("Barking dogs!", "dog bark"),
    ("the kitten meowed", "cat meow"),
    ("two wugs calling", "wug call"),
    ("cats", "cat meow"),
    ("DOGS", "dog bark"),
  ],
)
def test_words_decide_between_kinds_that_lie_close_together(prompt, name):
  """With other endings than in the book, and as part of other words."""
  for text in (prompt, f"{prompt} by the zork"):
    assert names(text, OTHER, 1) == [name]


def test_unknown_words_make_the_known_ones_count_less():
  alone, among, none = (
    scores(text, OTHER)[0] for text in ("barking", "barking zork", "")
  )
  assert alone > among > none == 0


def test_a_word_of_many_kinds_counts_less():
  index = nearest._index((("wug", "wug"), ("wug blip", "wug blip")))
  common, rare = index.cosines("wug"), index.cosines("blip")
  assert 0 == rare[0] < common[1] < rare[1] < 1
  rarity = np.array([1, np.log(3 / 2) + 1])  # of wug and of blip
  both = index.cosines("wug blip")[1]
  expected = rarity @ [common[1], rare[1]] / np.linalg.norm(rarity)
  np.testing.assert_allclose(both, expected)


def test_held_out_phrasings_get_their_kind_more_often_than_by_embedding():
  """The second of each kind: figures of docs/how_it_works.md."""
  model = bundle.load()
  known = model.repertoire
  rows = [
    (kind.name, phrasebook.held_out(kind.name)[1])
    for kind in known.kinds
    if len(phrasebook.held_out(kind.name)) > 1
  ]
  text_IxE = survey.embed(model.clap, [text for _, text in rows])
  right = [
    nearest.closest(text, text_E, known, 1)[0].name == name
    for (name, text), text_E in zip(rows, text_IxE, strict=True)
  ]
  by_embedding = [
    known.kinds[
      np.append(known.kind_I, known.described_kind_I)[
        (np.concatenate([known.known_IxE, known.described_IxE]) @ text_E)
        .argmax()
      ]
    ].name
    == name
    for (name, _), text_E in zip(rows, text_IxE, strict=True)
  ]  # fmt: skip
  assert np.mean(right) > 0.75 > 0.65 > np.mean(by_embedding)
