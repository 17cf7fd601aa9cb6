"""Transforms against numpy and against each other."""

import numpy as np
import pytest

from siren_jax.audio import stft


@pytest.fixture
def audio_BxS():
  return np.random.default_rng(0).normal(size=(2, 1280)).astype("f4")


@pytest.mark.parametrize(("size", "hop"), [(640, 320), (640, 160), (64, 16)])
def test_frames_are_the_samples_around_their_centre(audio_BxS, size, hop):
  frames = np.asarray(stft.frame(audio_BxS, size, hop))
  assert frames.shape == (2, 1280 // hop, size)
  padded = np.pad(audio_BxS, ((0, 0), (size, size)))
  for t in range(frames.shape[1]):
    start = size + t * hop - (size - hop) // 2
    np.testing.assert_array_equal(frames[:, t], padded[:, start : start + size])


@pytest.mark.parametrize(("size", "hop"), [(640, 160), (256, 64)])
def test_inverse_gives_the_audio_back(audio_BxS, size, hop):
  back = stft.istft(stft.stft(audio_BxS, size, hop), size, hop)
  np.testing.assert_allclose(back, audio_BxS, atol=1e-5)


def test_overlap_add_is_the_transpose_of_frame(audio_BxS):
  frames = np.random.default_rng(1).normal(size=(2, 8, 640)).astype("f4")
  left = np.sum(np.asarray(stft.frame(audio_BxS, 640, 160)) * frames)
  right = np.sum(audio_BxS * np.asarray(stft.overlap_add(frames, 160)))
  np.testing.assert_allclose(left, right, rtol=1e-4)


def test_mel_bands_cover_every_bin_once_and_none_is_empty():
  for mels, size in ((8, 64), (128, 2048), (64, 640)):
    mel = stft.mel_matrix(mels, size, 16000)
    assert mel.shape == (size // 2 + 1, mels)
    np.testing.assert_allclose(mel.sum(0), 1, rtol=1e-5)


def test_mel_band_of_a_tone_is_where_the_tone_is():
  time = np.arange(16000) / 16000
  bands = []
  for hertz in (200, 1000, 5000):
    tone = np.sin(2 * np.pi * hertz * time).astype("f4")[None]
    power = np.abs(np.asarray(stft.stft(tone, 640, 160))) ** 2
    bands.append(
      (power @ stft.mel_matrix(64, 640, 16000)).mean((0, 1)).argmax()
    )
  assert bands == sorted(set(bands))
