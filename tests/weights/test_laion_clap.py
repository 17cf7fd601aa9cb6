"""Configs and tokenizers of published CLAPs; their numbers: tests/oracle."""

import dataclasses
import json

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors, trainers

from siren_jax.clap import tokenizer
from siren_jax.clap.htsat import HtsatConfig
from siren_jax.clap.laion import ROBERTA, LaionConfig
from siren_jax.cli.main import main
from siren_jax.common.errors import UserError
from siren_jax.weights import laion_clap

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@pytest.fixture
def folder(tmp_path):
  """As on the hub, with the settings that laion/clap-htsat-unfused has."""
  write(tmp_path, {"model_type": "clap"})
  return tmp_path


def write(folder, config):
  (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture
def words():
  """RoBERTa's kind of tokenizer, with few words."""
  words = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
  words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  words.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
  trainer = trainers.BpeTrainer(
    vocab_size=290,
    special_tokens=SPECIAL,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  words.train_from_iterator(["a dog barking", "rain on a roof"] * 9, trainer)
  return words


def test_what_a_config_leaves_out_is_as_published(folder):
  assert laion_clap.read_config(folder) == LaionConfig()


def test_sizes_are_read_from_the_config(folder):
  audio = {
    "enable_fusion": True,
    "depths": [2, 2],
    "num_attention_heads": [4, 8],
  }
  text = {"vocab_size": 300, "max_position_embeddings": 42}
  write(folder, {
    "model_type": "clap", "text_config": text, "audio_config": audio,
    "projection_dim": 64,
  })  # fmt: skip
  settings = {"sampling_rate": 16000, "frequency_min": 0, "top_db": None}
  (folder / "preprocessor_config.json").write_text(json.dumps(settings))
  config = laion_clap.read_config(folder)
  assert config.audio == HtsatConfig(
    sample_rate=16000, low=0.0, blocks=(2, 2), heads=(4, 8), fusion=True
  )
  assert (config.text.vocab_size, config.text.max_tokens) == (300, 40)
  assert config.embed_dim == 64


@pytest.mark.parametrize(
  ("config", "message"),
  [
    ([], "not a LAION CLAP config"),
    ({"model_type": "bert"}, "model_type 'bert', expected 'clap'"),
    ({"model_type": "clap", "text_config": 3}, "not a LAION CLAP config"),
    (
      {"model_type": "clap", "text_config": {"hidden_size": 0}},
      "word_width=0: must be at least 1",
    ),
  ],
)
def test_another_config_is_refused_in_one_line(config, message, folder):
  write(folder, config)
  with pytest.raises(UserError, match=f"config.json.*{message}") as error:
    laion_clap.read_config(folder)
  assert "\n" not in str(error.value)


def test_a_missing_config_is_reported(tmp_path):
  with pytest.raises(UserError, match="config.json: no such file"):
    laion_clap.read_config(tmp_path)


def test_a_tokenizer_is_read_from_either_kind_of_file(folder, words):
  text = "a dog barking"
  ids = words.encode(text).ids
  assert ids[0] == 0 and ids[-1] == 2
  words.model.save(str(folder))
  assert (folder / "vocab.json").exists()
  older = laion_clap.load_tokenizer(folder, 290)
  (folder / "vocab.json").unlink()
  (folder / "merges.txt").unlink()
  words.enable_truncation(2)
  words.save(str(folder / "tokenizer.json"))
  newer = laion_clap.load_tokenizer(folder, 290)
  assert older.encode(text).ids == newer.encode(text).ids == ids


def test_another_tokenizer_is_refused_in_one_line(folder, words):
  with pytest.raises(UserError, match="neither tokenizer.json nor vocab.json"):
    laion_clap.load_tokenizer(folder, 290)
  words.save(str(folder / "tokenizer.json"))
  highest = words.get_vocab_size() - 1
  with pytest.raises(UserError, match=f"{folder}: ids up to {highest}"):
    laion_clap.load_tokenizer(folder, highest)
  (folder / "tokenizer.json").write_text("{}")
  with pytest.raises(UserError, match="cannot read its tokenizer") as error:
    laion_clap.load_tokenizer(folder, 290)
  assert "\n" not in str(error.value)


def test_an_imported_clap_has_its_tokenizer(folder, words, monkeypatch):
  """Parameters are another matter: any will do here."""
  config = LaionConfig(text=dataclasses.replace(ROBERTA, vocab_size=290))
  monkeypatch.setattr(
    laion_clap, "load", lambda _: (config, {"scale": np.ones(2, np.float32)})
  )
  words.model.save(str(folder))
  out = folder / "out"
  assert main(["import-weights", "clap", str(folder), "--out", str(out)]) == 0
  imported = tokenizer.load(out / "tokenizer.json", 290)
  assert imported.encode("rain").ids == words.encode("rain").ids
