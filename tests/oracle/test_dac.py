"""DAC of the published size against transformers, on random weights."""

import numpy as np
import pytest

from siren_jax.codec.dac import Dac
from siren_jax.weights import dac

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.oracle


def _randomise(model):
  """Weights under which a signal neither dies nor explodes."""
  for name, value in model.named_parameters():
    if "alpha" in name:
      value.data.uniform_(0.5, 1.5)
    elif value.dim() == 1:
      value.data.normal_(0, 0.05)
    elif "codebook" not in name:
      fan_in = value.shape[1] * value.shape[2]
      if "conv_t" in name:
        fan_in = 2 * value.shape[0]
      gain = 0.3 if "unit" in name and "conv2" in name else 1.0
      value.data.normal_(0, gain * fan_in**-0.5)


def test_five_seconds_at_the_published_size(tmp_path):
  torch.manual_seed(0)
  model = transformers.DacModel(
    transformers.DacConfig(downsampling_ratios=[2, 4, 5, 8], n_codebooks=12)
  ).eval()
  _randomise(model)
  model.save_pretrained(tmp_path)
  codec = dac.load(tmp_path)
  assert codec.config == dac.DacConfig()
  audio = np.random.default_rng(0).normal(0, 0.1, (2, 80000)).astype("f4")
  with torch.no_grad():
    x = torch.tensor(audio)[:, None]
    latents = model.encoder(x).numpy().transpose(0, 2, 1)
    codes = model.encode(x).audio_codes
    decoded = model.decode(audio_codes=codes).audio_values.numpy()
  codes = codes.numpy()
  ours = Dac(codec.config).apply(
    {"params": codec.params}, audio, method=lambda m, x: m.encoder(x)
  )
  assert latents.std() > 0.1 and decoded.std() > 0.1
  np.testing.assert_allclose(ours, latents, atol=1e-4 * np.abs(latents).max())
  same = codec.encode(audio) == codes
  assert np.mean(same[:, :4]) > 0.995
  np.testing.assert_allclose(
    codec.decode(codes)[:, : decoded.shape[1]],
    decoded,
    atol=1e-4 * np.abs(decoded).max(),
  )
