"""VGGish and Cnn14 against torchvggish and PANNs, on random weights."""

import numpy as np
import pytest

from siren_jax.evaluation import networks
from siren_jax.evaluation.divergence import probabilities
from siren_jax.weights import scorers

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
safetensors_torch = pytest.importorskip("safetensors.torch")
pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def audio():
  rise = np.linspace(0, 0.1, 80000)
  return (np.random.default_rng(0).normal(size=(2, 80000)) * rise).astype("f4")


def _save(model, path):
  state = {k: v.contiguous() for k, v in model.state_dict().items()}
  safetensors_torch.save_file(state, path)
  return path


def test_vggish_agrees_with_torchvggish(
  audio, tmp_path, monkeypatch, published
):
  model = published.vggish(monkeypatch)
  from torchvggish.vggish_input import waveform_to_examples

  _, params = scorers.load_vggish(_save(model, tmp_path / "v.safetensors"))
  patches = torch.cat([waveform_to_examples(x, 16000) for x in audio]).detach()
  ours = networks.vggish_patches(audio)
  assert ours.shape == (2, 5, 96, 64)
  ours = ours.reshape(-1, 96, 64)
  np.testing.assert_allclose(ours, patches[:, 0].numpy(), atol=1e-3)
  with torch.no_grad():
    features = model.features(patches).permute(0, 2, 3, 1).reshape(10, -1)
    theirs = model.embeddings[:5](features).numpy()
    whole = model(patches).numpy()
  embeddings = networks.VGGish().apply({"params": params}, ours)
  scale = np.abs(theirs).max()
  np.testing.assert_allclose(embeddings, theirs, atol=1e-4 * scale)
  with_relu = networks.VGGish(networks.VGGishConfig(relu=True)).apply(
    {"params": params}, ours
  )
  np.testing.assert_allclose(with_relu, whole, atol=1e-4 * scale)


@pytest.mark.parametrize("config", [networks.CNN14_16K, networks.CNN14_32K])
def test_cnn14_agrees_with_panns_inference(
  config, audio, tmp_path, monkeypatch, published
):
  model = published.cnn14(config, monkeypatch, tmp_path)
  loaded, params = scorers.load_cnn14(_save(model, tmp_path / "c.safetensors"))
  assert loaded == config
  with torch.no_grad():
    theirs = {k: v.numpy() for k, v in model(torch.tensor(audio)).items()}
  embedding, logits = networks.Cnn14(config).apply({"params": params}, audio)
  scale = np.abs(theirs["embedding"]).max()
  np.testing.assert_allclose(embedding, theirs["embedding"], atol=1e-4 * scale)
  np.testing.assert_allclose(
    probabilities(logits, "sigmoid"), theirs["clipwise_output"], atol=1e-4
  )
