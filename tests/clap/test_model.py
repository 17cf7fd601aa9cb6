import json

import jax
import numpy as np
import pytest

from siren_jax import clap
from siren_jax.clap import tokenizer
from siren_jax.common import config as configs
from siren_jax.common.errors import UserError
from siren_jax.storage import tensors


@pytest.fixture(scope="module")
def bundle(config, params, tmp_path_factory):
  folder = tmp_path_factory.mktemp("bundle")
  words = tokenizer.train(["a dog barking", "rain"] * 3, 80)
  words.save(str(folder / "tokenizer.json"))
  tensors.save(folder / "clap.safetensors", params)
  (folder / "config.json").write_text(
    json.dumps({"clap": configs.to_dict(config)})
  )
  return folder


def test_a_loaded_clap_is_the_saved_one(bundle, config, params):
  loaded = clap.load(bundle)
  assert loaded.config == config
  tokens, mask, embedding = loaded.encode_text(["a dog barking", "rain"])
  ids, same_mask = tokenizer.tokenize(
    loaded.tokenizer, ["a dog barking", "rain"], config.text.max_tokens
  )
  expected = jax.jit(clap.encode_text, static_argnames="config")(
    params, config, ids, same_mask
  )
  np.testing.assert_array_equal(mask, same_mask)
  np.testing.assert_allclose(tokens, expected[0], atol=1e-5)
  np.testing.assert_allclose(embedding, expected[1], atol=1e-5)


def test_similarity_is_the_cosine_of_every_pair(bundle):
  loaded = clap.load(bundle)
  audio = np.random.default_rng(0).normal(size=(3, 900)).astype("f4")
  similarity = loaded.similarity(["rain", "dog"], audio)
  text_2xE = np.asarray(loaded.encode_text(["rain", "dog"])[2])
  expected = text_2xE @ np.asarray(loaded.encode_audio(audio)).T
  assert similarity.shape == (2, 3)
  np.testing.assert_allclose(similarity, expected, atol=1e-5)
  assert np.abs(similarity).max() <= 1 + 1e-5


def test_an_empty_prompt_is_refused(bundle):
  with pytest.raises(UserError, match="empty"):
    clap.load(bundle).encode_text(["  "])


def test_a_missing_tensor_is_named(bundle, params, tmp_path):
  for name in ("config.json", "tokenizer.json"):
    (tmp_path / name).write_text((bundle / name).read_text())
  without = {k: v for k, v in params.items() if k != "project_audio"}
  tensors.save(tmp_path / "clap.safetensors", without)
  with pytest.raises(UserError, match="project_audio"):
    clap.load(tmp_path)


def test_a_folder_without_tokenizer_is_refused(bundle, tmp_path):
  for name in ("config.json", "clap.safetensors"):
    (tmp_path / name).write_bytes((bundle / name).read_bytes())
  with pytest.raises(UserError, match="no tokenizer"):
    clap.load(tmp_path)


def test_wrong_ranks_are_refused(params, config):
  with pytest.raises(AssertionError):
    clap.encode_audio(params, config, np.zeros(100, "f4"))
  with pytest.raises(AssertionError):
    clap.encode_text(
      params, config, np.ones((1, 3), int), np.ones((1, 2), bool)
    )


def test_encoders_can_be_jitted_and_differentiated(params, config):
  def loss(params, audio):
    text = clap.encode_text(
      params, config, np.ones((1, 3), int), np.ones((1, 3), bool)
    )[1]
    return (text * clap.encode_audio(params, config, audio)).sum()

  audio = np.random.default_rng(0).normal(size=(1, 900)).astype("f4")
  grads = jax.jit(jax.grad(loss))(params, audio)
  norms = {
    k: max(abs(x).max() for x in jax.tree.leaves(v)) for k, v in grads.items()
  }
  assert set(norms) == {"text", "audio", "project_text", "project_audio"}
  assert all(0 < norm < np.inf for norm in norms.values())
