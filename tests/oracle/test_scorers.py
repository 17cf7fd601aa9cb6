"""VGGish and Cnn14 against torchvggish and PANNs, on random weights."""

import sys
import types

import numpy as np
import pytest

from siren_jax.evaluation import networks
from siren_jax.evaluation.divergence import probabilities
from siren_jax.weights import scorers

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def audio():
  rise = np.linspace(0, 0.1, 80000)
  return (np.random.default_rng(0).normal(size=(2, 80000)) * rise).astype("f4")


def _randomise(model):
  torch.manual_seed(0)
  for name, value in model.named_parameters():
    if "extractor" in name:
      continue
    if value.dim() > 1:
      value.data.normal_(0, (2 / np.prod(value.shape[1:])) ** 0.5)
    elif "bn" in name and "weight" in name:
      value.data.uniform_(0.8, 1.2)
    else:
      value.data.normal_(0, 0.05)
  for name, value in model.named_buffers():
    if "running_var" in name:
      value.uniform_(0.5, 1.5)
    elif "running_mean" in name:
      value.normal_(0, 0.1)
  return model.eval()


def _save(model, path):
  state = {k: v.contiguous() for k, v in model.state_dict().items()}
  safetensors_torch.save_file(state, path)
  return path


def test_vggish(audio, tmp_path, monkeypatch):
  # It resamples, which is not asked for here.
  monkeypatch.setitem(sys.modules, "resampy", types.ModuleType("resampy"))
  vggish = pytest.importorskip("torchvggish.torchvggish")
  from torchvggish.vggish_input import waveform_to_examples

  model = _randomise(vggish._vgg())
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
def test_cnn14(config, audio, tmp_path, monkeypatch):
  # At import it fetches labels with wget; it fails quietly without a network.
  monkeypatch.setenv("HOME", str(tmp_path))
  panns = pytest.importorskip("panns_inference.models")
  model = _randomise(
    panns.Cnn14(
      config.sample_rate, config.window, config.hop, 64,
      config.low, config.high, 527,
    )
  )  # fmt: skip
  found, params = scorers.load_cnn14(_save(model, tmp_path / "c.safetensors"))
  assert found == config
  with torch.no_grad():
    theirs = {k: v.numpy() for k, v in model(torch.tensor(audio)).items()}
  embedding, logits = networks.Cnn14(config).apply({"params": params}, audio)
  scale = np.abs(theirs["embedding"]).max()
  np.testing.assert_allclose(embedding, theirs["embedding"], atol=1e-4 * scale)
  np.testing.assert_allclose(
    probabilities(logits, "sigmoid"), theirs["clipwise_output"], atol=1e-4
  )
