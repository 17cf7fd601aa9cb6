import logging

import numpy as np
import pytest
from tokenizers import Tokenizer, processors

from siren_jax.clap import tokenizer
from siren_jax.common.errors import UserError

TEXTS = ["a dog barking", "the rain falls", "a cat and a dog", "barking"] * 3


@pytest.fixture(scope="module")
def words():
  return tokenizer.train(TEXTS, 80, ["dog", "hound"])


def test_padding_is_masked_and_every_text_starts_alike(words):
  ids, mask = tokenizer.tokenize(words, ["a dog", "rain"], 6)
  assert ids.shape == mask.shape == (2, 6)
  assert ids.dtype == np.int32 and mask.dtype == bool
  assert mask.sum(1)[0] == 3  # [cls], a, dog
  assert (ids[~mask] == words.token_to_id(tokenizer.PAD)).all()
  assert (ids[:, 0] == words.token_to_id(tokenizer.CLS)).all()
  assert words.token_to_id(tokenizer.PAD) == 0


def test_listed_words_are_one_token_though_no_merge_leads_there(words):
  assert words.encode("hound").tokens == [tokenizer.CLS, "hound"]
  assert len(words.encode("hounds").tokens) > 2


def test_no_id_is_beyond_the_vocabulary():
  """Letters take more than the eighth that words leave them."""
  texts = ["the quick brown fox jumps over the lazy dog 0123456789 ?!"]
  listed = [f"word{i}" for i in range(99)]
  words = tokenizer.train(texts, 64, listed)
  assert words.get_vocab_size() == 64
  assert max(words.get_vocab().values()) == 63
  assert words.encode("quick").tokens[1:] != [tokenizer.UNK]


@pytest.mark.parametrize("same", ["A DOG", "a dóg", " a  dog ", "ａ ｄｏｇ"])
def test_case_accents_width_and_blanks_do_not_matter(words, same):
  assert words.encode(same).ids == words.encode("a dog").ids


def test_foreign_script_is_unknown_not_an_error(words):
  assert tokenizer.UNK in words.encode("犬").tokens


def test_digits_are_read_one_by_one():
  words = tokenizer.train(["440 hz", "880 hz"] * 5, 60)
  assert words.encode("448").tokens == [tokenizer.CLS, "4", "4", "8"]


def test_a_long_text_is_truncated_with_a_warning(words, caplog):
  caplog.set_level(logging.WARNING)
  ids, mask = tokenizer.tokenize(words, ["dog " * 9], 4)
  assert ids.shape == (1, 4) and mask.all()
  assert "the last 6 are left out" in caplog.text


def test_training_texts_are_truncated_silently(words, caplog):
  ids, _ = tokenizer.tokenize(words, ["dog " * 9], 4, log_cuts=False)
  assert ids.shape == (1, 4)
  assert not caplog.text


def test_what_ends_a_text_stays_when_it_is_cut(words):
  words = Tokenizer.from_str(words.to_str())
  words.post_processor = processors.TemplateProcessing(
    single=f"{tokenizer.CLS} $A {tokenizer.UNK}",
    special_tokens=[(tokenizer.CLS, 1), (tokenizer.UNK, 2)],
  )
  ids, _ = tokenizer.tokenize(words, ["dog " * 9, "dog"], 4)
  dog = words.token_to_id("dog")
  np.testing.assert_array_equal(ids, [[1, dog, dog, 2], [1, dog, 2, 0]])


def test_a_file_that_pads_and_cuts_by_itself(words, tmp_path):
  words = Tokenizer.from_str(words.to_str())
  words.enable_padding(length=6)
  words.enable_truncation(3)
  words.save(str(tmp_path / "tokenizer.json"))
  loaded = tokenizer.load(tmp_path / "tokenizer.json")
  _, mask = tokenizer.tokenize(loaded, ["dog dog dog dog", "dog"], 8)
  np.testing.assert_array_equal(mask.sum(1), [5, 2])


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_prompt_is_refused(words, empty):
  with pytest.raises(UserError, match="empty"):
    tokenizer.tokenize(words, ["a dog", empty], 4)


def test_saved_and_loaded_is_the_same(words, tmp_path):
  words.save(str(tmp_path / "tokenizer.json"))
  loaded = tokenizer.load(tmp_path / "tokenizer.json")
  for text in [*TEXTS, "A hound, 12!"]:
    assert loaded.encode(text).ids == words.encode(text).ids


def test_missing_and_broken_files(tmp_path):
  with pytest.raises(UserError, match="no tokenizer"):
    tokenizer.load(tmp_path / "tokenizer.json")
  (tmp_path / "tokenizer.json").write_text("{}")
  with pytest.raises(UserError, match="not a tokenizer"):
    tokenizer.load(tmp_path / "tokenizer.json")


def test_ids_beyond_the_word_table_are_refused(words, tmp_path):
  path = tmp_path / "tokenizer.json"
  words.save(str(path))
  size = max(words.get_vocab().values()) + 1
  assert tokenizer.load(path, size).to_str() == words.to_str()
  with pytest.raises(UserError, match=f"ids up to {size - 1}.*of {size - 1}"):
    tokenizer.load(path, size - 1)


def test_what_stands_in_place_of_a_tokenizer_is_named(tmp_path):
  path = tmp_path / "tokenizer.json"
  path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
  with pytest.raises(UserError, match="Git LFS pointer"):
    tokenizer.load(path)


def test_bytes_that_are_no_text_are_refused(words):
  with pytest.raises(UserError, match=r"prompt 'a\\udcff': not valid Unicode"):
    tokenizer.tokenize(words, ["rain", "a\udcff"], 8)
