"""Resampling against torchaudio's."""

import numpy as np
import pytest

from siren_jax.audio.resample import resample

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("length", [1, 441, 10001])
@pytest.mark.parametrize(
  "rates", [(44100, 16000), (16000, 48000), (22050, 32000), (48000, 16000)]
)
def test_equals_torchaudio(rates, length):
  functional = pytest.importorskip("torchaudio.functional")
  audio = np.random.default_rng(0).normal(0, 0.3, length).astype("f4")
  theirs = functional.resample(torch.tensor(audio), *rates).numpy()
  ours = resample(audio, *rates)
  assert ours.shape == theirs.shape
  # Its phases are rounded to float32.
  np.testing.assert_allclose(ours, theirs, atol=3e-5)
