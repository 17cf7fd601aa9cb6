import itertools
import re

import numpy as np
import pytest

from siren_jax.clap import corpus, tokenizer
from siren_jax.common.errors import UserError

GENERAL = ["house", "green", "idea"]


@pytest.mark.parametrize(
  ("verb", "forms"),
  [
    ("bark", "barks barked barking"),
    ("cry", "cries cried crying"),
    ("sneeze", "sneezes sneezed sneezing"),
    ("chop", "chops chopped chopping"),
    ("crash", "crashes crashed crashing"),
    ("tick", "ticks ticked ticking"),
    ("play", "plays played playing"),
    ("rain", "rains rained raining"),
    ("blow", "blows blowed blowing"),
  ],
)
def test_verbs_are_inflected_by_rule(verb, forms):
  inflected = [corpus.inflect(verb, ending) for ending in ("s", "ed", "ing")]
  assert inflected == forms.split()


def test_sentences_depend_on_the_seed_alone_and_are_whole():
  one = list(itertools.islice(corpus.sentences(GENERAL, 3), 500))
  assert one == list(itertools.islice(corpus.sentences(GENERAL, 3), 500))
  assert one != list(itertools.islice(corpus.sentences(GENERAL, 4), 500))
  assert all(re.fullmatch(r"[a-z' -]+", text) for text in one)
  assert len(set(one)) > 300


def test_words_come_by_importance():
  words = corpus.vocabulary(["a zither, please"], GENERAL)
  assert words[:3] == ["a", "zither", "please"]
  assert words[-1] == "idea" and "barking" in words
  assert len(set(words)) == len(words)


def test_common_words_rank_above_the_teachers_rare_ones():
  english = ["the briny deep", "a briny lake", "briny", "deep lake", "once"]
  assert corpus.general_words(english, ["smith", "deep"]) == [
    "deep",
    "briny",
    "smith",
    "lake",
  ]


def test_wordnet_is_read(tmp_path):
  (tmp_path / "data.verb").write_text(
    "  1 This is the licence.\n"
    '00004819 29 v 01 Sneeze 0 001 @ 00010241 v 0000 | exhale; "Pepper makes'
    ' me sneeze"  \n'
  )
  assert corpus.wordnet(tmp_path) == [
    "sneeze: exhale",
    "pepper makes me sneeze",
  ]
  with pytest.raises(UserError, match="wordnet-base"):
    corpus.wordnet(tmp_path / "none")


def _make(words_tokenizer=None, **changes):
  settings = dict(
    captions={"a dog": 0, "Rain": 1, "both": -1, "kept back": 0},
    held_out=["kept back"],
    vocab_size=200,
    num_sentences=50,
    max_tokens=8,
    with_teacher=False,
    wordnet_folder="",
    seed=0,
  )
  return corpus.make(words_tokenizer, **settings | changes)


def test_a_corpus_holds_the_captions_and_not_what_is_held_out():
  words, texts = _make()

  def row(text):
    ids, _ = tokenizer.tokenize(words, [text], 8)
    return np.flatnonzero((texts.ids_QxP == ids).all(1))

  assert texts.label_Q[row("a dog")] == [0]
  assert texts.label_Q[row("rain")] == [1]
  assert texts.label_Q[row("both")] == [-1]
  assert len(row("kept back")) == 0
  assert (texts.label_Q >= 0).sum() == 2
  assert texts.teacher_QxW.shape == (len(texts.ids_QxP), 0)


def _never(_):
  raise AssertionError("made again")


def test_a_corpus_is_made_once_and_can_be_taken_over(tmp_path):
  words, texts = corpus.prepare(tmp_path / "a", "", _make)
  again = corpus.prepare(tmp_path / "a", "", _never)
  taken = corpus.prepare(tmp_path / "b", str(tmp_path / "a"), _never)
  own = corpus.prepare(tmp_path / "b", "", _never)
  for same_words, same in (again, taken, own):
    assert same_words.to_str() == words.to_str()
    for name in ("ids_QxP", "mask_QxP", "teacher_QxW", "label_Q"):
      np.testing.assert_array_equal(getattr(same, name), getattr(texts, name))


def test_a_corpus_that_is_taken_over_has_the_classes_of_its_run(tmp_path):
  words, _ = corpus.prepare(tmp_path / "a", "", _make)
  captions = {"Rain": 0, "a dog": 2, "new": 1, "both": -1}
  made_from = {"captions": captions}
  for _ in range(2):  # the second is read
    words, texts = corpus.prepare(
      tmp_path / "b", str(tmp_path / "a"), _never, made_from
    )
    ids_QxP, _ = tokenizer.tokenize(words, ["a dog", "rain", "both"], 8)
    for ids_P, label in zip(ids_QxP, (2, 0, -1), strict=True):
      rows = (texts.ids_QxP == ids_P).all(1)
      assert rows.any() and (texts.label_Q[rows] == label).all()
    assert (texts.label_Q >= 0).sum() == 2
  made_from = {"captions": {"Rain": 1}}
  _, texts = corpus.prepare(
    tmp_path / "b", str(tmp_path / "a"), _never, made_from
  )
  assert texts.label_Q.max() == 1 and (texts.label_Q >= 0).sum() == 1


def test_a_tokenizer_is_never_beside_the_corpus_of_another(
  tmp_path, monkeypatch
):
  made_from = {"captions": {}, "seed": 0}
  corpus.prepare(tmp_path, "", _make, made_from)

  def full(*_):
    raise UserError("no space left")

  with monkeypatch.context() as patch:
    patch.setattr(corpus.Corpus, "save", full)
    with pytest.raises(UserError):
      corpus.prepare(
        tmp_path, "", lambda _: _make(vocab_size=150), made_from | {"seed": 1}
      )
  words, texts = corpus.prepare(tmp_path, "", _make, made_from)
  ids_QxP, _ = tokenizer.tokenize(words, ["a dog"], 8)
  assert (texts.ids_QxP == ids_QxP).all(1).any()


def test_texts_that_are_cut_to_the_same_ids_have_no_class():
  words, texts = _make()
  same = {"a dog " * 8 + x: k for k, x in enumerate(("rain", "both"))}
  texts = texts.relabelled(words, {"a dog": 1} | same)
  assert (texts.label_Q >= 0).sum() == 1


def test_a_tokenizer_without_a_corpus_gets_one(tmp_path):
  (tmp_path / "bundle").mkdir()
  words = tokenizer.train(["quite other words"], 90)
  (tmp_path / "bundle" / corpus.TOKENIZER).write_text(words.to_str())
  taken, texts = corpus.prepare(tmp_path, str(tmp_path / "bundle"), _make)
  assert taken.to_str() == words.to_str()
  ids, _ = tokenizer.tokenize(words, ["a dog"], 8)
  assert (texts.ids_QxP == ids).all(1).any()


def test_a_broken_corpus_is_named(tmp_path):
  corpus.prepare(tmp_path, "", _make)
  (tmp_path / corpus.CORPUS).write_bytes(b"PK")
  with pytest.raises(UserError, match="corpus.npz"):
    corpus.prepare(tmp_path, "", _never)


def test_word_table_keeps_the_teachers_neighbours():
  rng = np.random.default_rng(0)
  low_rank = rng.normal(size=(12, 3)) @ rng.normal(size=(3, 8))
  ids = np.stack([np.ones(12), np.arange(2, 14), np.zeros(12)], 1).astype(int)
  ids = np.concatenate([ids, [[1, 2, 3]]])  # a text of two words: not used
  texts = corpus.Corpus(
    ids, ids > 0, np.concatenate([low_rank, np.ones((1, 8))]), -np.ones(13)
  )
  table = texts.word_table(20, 4)
  assert table.shape == (20, 4) and table.dtype == np.float32
  centred = low_rank - low_rank.mean(0)
  expected = centred @ centred.T
  similarity = table[2:14] @ table[2:14].T
  np.testing.assert_allclose(
    similarity / np.linalg.norm(similarity),
    expected / np.linalg.norm(expected),
    atol=1e-5,
  )
  assert (table[[0, 1, *range(14, 20)]] != 0).all()


@pytest.mark.parametrize(
  ("name", "change"),
  [
    ("teacher_QxW", lambda x: np.full_like(x, np.nan)),
    ("teacher_QxW", lambda x: x[:-1]),
    ("label_Q", lambda x: x.astype(float)),
    ("mask_QxP", lambda x: x[0]),
  ],
)
def test_arrays_that_are_of_no_corpus_are_named(name, change, tmp_path):
  corpus.prepare(tmp_path, "", _make)
  path = tmp_path / corpus.CORPUS
  arrays = dict(np.load(path))
  arrays["teacher_QxW"] = np.ones((len(arrays["label_Q"]), 2), np.float16)
  np.savez(path, **arrays | {name: change(arrays[name])})
  with pytest.raises(UserError, match=f"corpus.npz.*{name}"):
    corpus.prepare(tmp_path, "", _never)


def test_a_bundle_that_ships_is_a_start_by_its_name(tmp_path):
  words, _ = corpus.prepare(tmp_path, "siren-small", _make)
  assert words.get_vocab_size() > 1000
