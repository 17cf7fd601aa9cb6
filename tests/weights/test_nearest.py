"""The kinds nearest to a text: by its words, their vectors, its embedding."""

import dataclasses
import functools
import json
import pathlib

import jax
import numpy as np
import pytest

from siren_jax.data.captions import phrasebook
from siren_jax.weights import bundle, nearest, survey
from siren_jax.weights.repertoire import Credit, Kind, Repertoire, stored

DOG, CAT, WUG, OTHER = AXES = np.eye(4)
KINDS = ("dog bark", "cat meow", "wug call")  # the last is not in the book
HOUND, MEANINGLESS = np.eye(2)  # as word vectors


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


def word_vectors(words):
  """Those of dogs are one; others do not tell kinds apart."""
  dogs = ("dog", "dogs", "bark", "barks", "barking", "borzoi")
  rows = [HOUND if word in dogs else MEANINGLESS for word in words]
  return np.reshape(rows, (len(rows), 2))


def search(text_E):
  return nearest.KindSearch(make(), lambda text: text_E, word_vectors)


def names(prompt, text_E, count=3):
  return [kind.name for kind in search(text_E).closest(prompt, count)]


def test_the_embedding_counts_where_the_words_are_unknown():
  text_E = 0.8 * CAT + 0.6 * WUG
  assert names("zork", text_E) == ["cat meow", "wug call", "dog bark"]
  dog, cat, wug = search(text_E).scores("zork")
  assert cat - wug == pytest.approx(0.2 * 0.25)
  assert wug - dog == pytest.approx(0.6 * 0.25)


def test_a_description_counts_as_its_kind():
  """The embedding along DOG is also that of a description of a cat."""
  dog, cat, wug = search(DOG).scores("zork")
  assert dog == pytest.approx(cat) and wug < cat


def test_vectors_of_words_that_are_not_in_the_book_count():
  assert names("borzoi", OTHER, 1) == ["dog bark"]
  dog, cat, _ = search(OTHER).scores("borzoi")
  assert dog - cat == pytest.approx(0.5)


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
    search(OTHER).scores(text)[0] for text in ("barking", "barking zork", "")
  )
  assert alone > among > none == 0


@pytest.mark.parametrize("prompt", ["", "!!!", "日本語", "a"])
def test_a_text_without_known_words_has_finite_scores(prompt):
  assert np.isfinite(search(OTHER).scores(prompt)).all()


def test_a_word_of_many_kinds_counts_less():
  index = nearest._Index.of([["wug"], ["wug blip"]])
  common, rare = index.cosines("wug"), index.cosines("blip")
  assert 0 == rare[0] < common[1] < rare[1] < 1
  rarity = np.array([1, np.log(3 / 2) + 1])  # of wug and of blip
  both = index.cosines("wug blip")[1]
  expected = rarity @ [common[1], rare[1]] / np.linalg.norm(rarity)
  np.testing.assert_allclose(both, expected)


def test_a_mean_of_word_vectors_is_weighted_by_rarity():
  index = nearest._Index.of([["dog"], ["dog meow"]])
  rarity = np.array([1, np.log(3 / 2) + 1])  # of dog and of meow
  means_IxW = index.means(["dog", "", "dog meow"], word_vectors)
  np.testing.assert_allclose(
    means_IxW, [HOUND, [0, 0], rarity / np.linalg.norm(rarity)]
  )


def test_word_vectors_are_of_length_one_and_do_not_depend_on_others():
  clap = bundle.load().clap
  words = ["dog", "borzoi", "qzxqzx", "dog"]
  vectors_UxW = clap.word_vectors(words)
  assert vectors_UxW.shape == (4, clap.config.text.word_width)
  np.testing.assert_allclose(np.linalg.norm(vectors_UxW, axis=1), 1, rtol=1e-5)
  np.testing.assert_array_equal(vectors_UxW[0], vectors_UxW[3])
  np.testing.assert_array_equal(
    clap.word_vectors(["borzoi"])[0], vectors_UxW[1]
  )
  assert clap.word_vectors([]).shape == (0, vectors_UxW.shape[1])
  assert vectors_UxW[0] @ clap.word_vectors(["hound"])[0] > 0.5


def test_word_vectors_of_bfloat16_parameters_are_close():
  clap = bundle.load().clap
  rounded = jax.tree.map(lambda x: x.astype(jax.numpy.bfloat16), clap.params)
  words = ["dog", "borzoi"]
  vectors_UxW = dataclasses.replace(clap, params=rounded).word_vectors(words)
  assert vectors_UxW.dtype == np.float32
  np.testing.assert_allclose(vectors_UxW, clap.word_vectors(words), atol=0.01)


@pytest.fixture(scope="module")
def model():
  return bundle.load()


def held_out(model, number):
  kinds = [kind.name for kind in model.repertoire.kinds]
  texts = {kind: phrasebook.held_out(kind) for kind in kinds}
  return [(k, t[number]) for k, t in texts.items() if len(t) > number]


def of_file(model, name):
  folder = pathlib.Path(__file__).parents[2] / "benchmarks" / "prompts"
  prompts = json.loads((folder / f"{name}.json").read_text())
  return [(kind, text) for kind, texts in prompts.items() for text in texts]


@pytest.mark.parametrize(
  ("prompts", "right"),
  [
    (functools.partial(held_out, number=0), 0.801),
    (functools.partial(held_out, number=1), 0.824),
    (functools.partial(held_out, number=2), 0.843),
    (functools.partial(of_file, name="natural"), 0.879),
    (functools.partial(of_file, name="described"), 0.796),
  ],
  ids=["first", "second", "third", "natural", "described"],
)
def test_prompts_get_their_kind_as_the_documentation_says(
  model, prompts, right
):
  """Figures of docs/how_it_works.md."""
  kinds, texts = zip(*prompts(model), strict=True)
  embeddings = dict(zip(texts, survey.embed(model.clap, texts), strict=True))
  known = nearest.KindSearch(
    model.repertoire, embeddings.__getitem__, model.clap.word_vectors
  )
  nearest_kinds = [known.closest(text, 1)[0].name for text in texts]
  share = np.mean(np.equal(nearest_kinds, kinds))
  assert share == pytest.approx(right, abs=0.01)
