"""Pictures of sounds."""

import librosa
import numpy as np
import pytest

from siren_jax.audio import spectrogram

RATE = 16000


def noise(size):
  rng = np.random.default_rng(0)
  return rng.normal(0, np.linspace(0.01, 0.3, size)).astype("f4")


@pytest.mark.parametrize("size", [1, 511, 512, 5000, 80000])
def test_a_short_sound_is_that_of_librosa(size):
  mel_MxT = librosa.feature.melspectrogram(y=noise(size), sr=RATE, n_mels=96)
  columns_MxX = spectrogram._columns(noise(size), RATE)
  np.testing.assert_allclose(columns_MxX, mel_MxT, rtol=1e-4, atol=1e-9)


def test_columns_of_a_long_sound_are_means_of_frames():
  audio_S = noise(100 * RATE)
  mel_MxT = librosa.feature.melspectrogram(y=audio_S, sr=RATE, n_mels=96)
  columns_MxX = spectrogram._columns(audio_S, RATE)
  assert mel_MxT.shape[1] == 3126 and columns_MxX.shape == (96, 782)
  whole_MxX = mel_MxT[:, : 781 * 4].reshape(96, 781, 4).mean(2)
  np.testing.assert_allclose(columns_MxX[:, :-1], whole_MxX, rtol=1e-4)
  np.testing.assert_allclose(
    columns_MxX[:, -1], mel_MxT[:, 781 * 4 :].mean(1), rtol=1e-4
  )


class Watched:
  """A sound that knows the most that was read of it at once."""

  def __init__(self, audio_S):
    self.audio_S, self.most = audio_S, 0

  def __len__(self):
    return len(self.audio_S)

  def __getitem__(self, span):
    self.most = max(self.most, len(self.audio_S[span]))
    return self.audio_S[span]


def test_a_long_sound_is_read_in_blocks(tmp_path):
  sound = Watched(noise(200 * RATE))
  with (tmp_path / "x.png").open("wb") as file:
    spectrogram.save(file, sound, RATE, "noise")
  assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
  assert sound.most < 50 * RATE
