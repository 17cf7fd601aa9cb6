"""Transforms against numpy and against each other."""

import jax.numpy as jnp
import librosa
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


def test_masked_frames_count_as_not_there(audio_BxS):
  spectra = stft.stft(audio_BxS, 640, 160)[:, :6]
  padded = jnp.pad(spectra, ((0, 0), (2, 1), (0, 0)), constant_values=9)
  mask_T = (jnp.arange(9) >= 2) & (jnp.arange(9) < 8)
  audio = stft.istft(padded, 640, 160, mask_T)[:, 2 * 160 : 8 * 160]
  np.testing.assert_allclose(audio, stft.istft(spectra, 640, 160), atol=1e-5)


def test_overlap_add_is_the_transpose_of_frame(audio_BxS):
  frames = np.random.default_rng(1).normal(size=(2, 8, 640)).astype("f4")
  left = np.sum(np.asarray(stft.frame(audio_BxS, 640, 160)) * frames)
  right = np.sum(audio_BxS * np.asarray(stft.overlap_add(frames, 160)))
  np.testing.assert_allclose(left, right, rtol=1e-4)


@pytest.mark.parametrize(("size", "hop"), [(512, 128), (400, 160)])
@pytest.mark.parametrize("padding", ["valid", "center"])
def test_numpy_and_jax_frame_alike(audio_BxS, size, hop, padding):
  """XLA by blocks where hops fill a frame, else by an index."""
  pad = size // 2 if padding == "center" else 0
  padded = np.pad(audio_BxS, ((0, 0), (pad, pad)), mode="reflect")
  starts = range(0, padded.shape[1] - size + 1, hop)
  expected = np.stack([padded[:, i : i + size] for i in starts], 1)
  for array in (audio_BxS, jnp.asarray(audio_BxS)):
    frames = stft.frame(array, size, hop, padding, "reflect")
    assert isinstance(frames, np.ndarray) == isinstance(array, np.ndarray)
    np.testing.assert_array_equal(frames, expected)


def test_spectra_of_centred_frames_are_librosas(audio_BxS):
  spectra = stft.stft(audio_BxS, 400, 160, "center", "reflect", fft_size=512)
  theirs = librosa.stft(
    # Their window lies in the middle of the FFT, ours at its start.
    np.pad(audio_BxS, ((0, 0), (200, 312)), mode="reflect"),
    n_fft=512, hop_length=160, window=np.pad(stft.hann(400), (0, 112)),
    center=False,
  )  # fmt: skip
  np.testing.assert_allclose(spectra, theirs.swapaxes(1, 2), atol=1e-4)
