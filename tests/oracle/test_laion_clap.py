"""LAION's CLAP of the published size against transformers, random weights."""

import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.clap import laion
from siren_jax.weights import laion_clap

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module", params=[False, True], ids=["unfused", "fused"])
def pair(request, tmp_path_factory, published):
  """The model of transformers, its feature extractor, and ours."""
  folder = tmp_path_factory.mktemp("clap")
  model, extractor = published.clap(fused=request.param)
  model.save_pretrained(folder)
  extractor.save_pretrained(folder)
  return model, extractor, laion_clap.load(folder)


def _cosine(a, b):
  a, b = np.asarray(a), np.asarray(b)
  return (
    np.sum(a * b, -1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
  )


def _apply(ours, method, *inputs):
  config, params = ours
  return laion.LaionModel(config).apply(
    {"params": params}, *inputs, method=method
  )


def test_text_embeddings_are_those_of_transformers(pair):
  model, _, ours = pair
  rng = np.random.default_rng(0)
  ids = rng.integers(5, 50000, (3, 12))
  mask = np.arange(12) < np.array([[12], [7], [3]])
  ids = np.where(mask, ids, 1)
  with torch.no_grad():
    out = model.text_model(torch.tensor(ids), torch.tensor(mask).long())
    theirs = model.text_projection(out.pooler_output).numpy()
  tokens, embedding = _apply(ours, "embed_text", jnp.asarray(ids), mask)
  hidden = out.last_hidden_state.numpy() * mask[..., None]
  np.testing.assert_allclose(tokens, hidden, atol=2e-4)
  assert _cosine(theirs[:1], theirs[1:]).max() < 0.999
  assert _cosine(embedding, theirs).min() > 0.9999


@pytest.mark.parametrize("seconds", [3.0, 10.0, 14.0])
def test_audio_embeddings_are_those_of_transformers(pair, seconds, monkeypatch):
  model, extractor, ours = pair
  config = ours[0].audio
  rng = np.random.default_rng(0)
  size = round(seconds * 48000)
  rise = np.linspace(0.01, 0.2, size) * np.sin(np.arange(size) / 30)
  audio = (rise + rng.normal(0, 0.02, (2, size))).astype("f4")
  # Where it draws a place, let it take the middle, as we do.
  monkeypatch.setattr(np.random, "choice", lambda r: r[len(r) // 2])
  monkeypatch.setattr(np.random, "randint", lambda low, high: (high - 1) // 2)
  features = [
    extractor(x, sampling_rate=48000, return_tensors="np") for x in audio
  ]
  theirs = np.concatenate([f["input_features"] for f in features])
  mel, longer = laion.features(audio, config)
  assert mel.shape == theirs.shape
  np.testing.assert_allclose(mel, theirs, atol=2e-2)
  assert np.median(np.abs(mel - theirs)) < 1e-4
  assert bool(longer.all()) == (seconds > config.seconds)
  with torch.no_grad():
    out = model.audio_model(
      torch.tensor(theirs, dtype=torch.float32),
      is_longer=torch.tensor(np.asarray(longer))[:, None],
    )
    embedding = model.audio_projection(out.pooler_output).numpy()
  ours_embedding = _apply(ours, "embed_audio", audio)
  assert _cosine(ours_embedding, embedding).min() > 0.9999
