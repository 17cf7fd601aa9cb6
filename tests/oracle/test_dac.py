"""DAC of the published size against transformers, on random weights."""

import numpy as np
import pytest

from siren_jax.codec.dac import Dac
from siren_jax.weights import dac

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.oracle


def test_five_seconds_at_the_published_size(tmp_path, published):
  model = published.dac()
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
