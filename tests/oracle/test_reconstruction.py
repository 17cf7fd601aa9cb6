"""Distances of a rendering against those of Descript's DAC."""

import numpy as np
import pytest

from siren_jax.evaluation import reconstruction

torch = pytest.importorskip("torch")
pytest.importorskip("dac")
pytestmark = pytest.mark.oracle
RATE = 16000


def _pair():
  rng = np.random.default_rng(0)
  tone = np.sin(np.arange(RATE) * np.linspace(0.05, 0.4, RATE))
  reference = 0.2 * tone + rng.normal(0, 0.01, (3, RATE))
  other = 0.7 * reference + rng.normal(0, 1, (3, RATE)) * [[0.01], [0.1], [1]]
  return reference.astype("f4"), other.astype("f4")


def test_as_descript_measures():
  from audiotools import AudioSignal
  from dac.nn import loss

  scales = 7
  mel = loss.MelSpectrogramLoss(
    n_mels=[5 << i for i in range(scales)],
    window_lengths=[32 << i for i in range(scales)],
    mel_fmin=[0] * scales,
    mel_fmax=[None] * scales,
    pow=1.0,
    mag_weight=0.0,
  )
  theirs = {
    "mel": lambda a, b: mel(a, b) / scales,
    "stft": loss.MultiScaleSTFTLoss(),
    "si_sdr": lambda a, b: -loss.SISDRLoss()(a, b),
  }
  reference, other = _pair()
  ours = reconstruction.distances(reference, other, RATE)
  assert list(ours) == list(theirs)
  for name, measure in theirs.items():
    for i in range(len(reference)):
      signals = (
        AudioSignal(x[i][None, None], RATE) for x in (other, reference)
      )
      estimate, truth = signals
      pair = (truth, estimate) if name == "si_sdr" else (estimate, truth)
      np.testing.assert_allclose(
        ours[name][i], float(measure(*pair)), rtol=2e-4, err_msg=name
      )
