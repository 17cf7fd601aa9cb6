"""Filter banks against librosa's, and where tones end up in them."""

import librosa
import numpy as np
import pytest

from siren_jax.audio import mel, stft


def test_mel_bands_cover_every_bin_once_and_none_is_empty():
  for mels, size in ((8, 64), (128, 2048), (64, 640)):
    bank = mel.filters(16000, size, mels, scale="htk", norm="sum")
    assert bank.shape == (size // 2 + 1, mels)
    np.testing.assert_allclose(bank.sum(0), 1, rtol=1e-5)


def test_mel_band_of_a_tone_is_where_the_tone_is():
  time = np.arange(16000) / 16000
  bank = mel.filters(16000, 640, 64, scale="htk", norm="sum")
  bands = []
  for hertz in (200, 1000, 5000):
    tone = np.sin(2 * np.pi * hertz * time).astype("f4")[None]
    power = np.abs(np.asarray(stft.stft(tone, 640, 160))) ** 2
    bands.append((power @ bank).mean((0, 1)).argmax())
  assert bands == sorted(set(bands))


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize(
  ("scale", "norm"), [("slaney", "slaney"), ("htk", None)]
)
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 96000])
def test_filters_are_librosas_to_the_bit(rate, scale, norm):
  for size, mels, low, high in (
    (512, 64, 50.0, rate / 2),
    (1024, 64, 50.0, 0.29 * rate),
    (32, 5, 0.0, None),
    (2048, 320, 0.0, None),
  ):
    theirs = librosa.filters.mel(
      sr=rate, n_fft=size, n_mels=mels, fmin=low, fmax=high,
      htk=scale == "htk", norm=norm,
    )  # fmt: skip
    ours = mel.filters(rate, size, mels, low, high, scale=scale, norm=norm)
    np.testing.assert_array_equal(ours, theirs.T)


def test_sides_of_filters_are_straight_over_the_given_axis():
  hz = np.fft.rfftfreq(4096, 1 / 16000)
  for over, axis in (("hz", hz), ("mel", mel.from_hz(hz, "htk"))):
    bank = mel.filters(16000, 4096, 8, scale="htk", norm=None, over=over)
    band = bank[:, 3]
    rising = np.flatnonzero((band > 0) & (np.gradient(band) > 0))[1:-2]
    slopes = np.diff(band[rising]) / np.diff(axis[rising])
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-3)


def test_decibels_are_librosas():
  audio_BxS = np.random.default_rng(0).normal(0, 0.1, (2, 4000)).astype("f4")
  theirs = librosa.feature.melspectrogram(
    y=audio_BxS, sr=16000, n_fft=512, hop_length=160, n_mels=64, fmin=50,
    fmax=8000, pad_mode="reflect",
  )  # fmt: skip
  theirs = librosa.power_to_db(theirs, top_db=None).swapaxes(1, 2)
  ours = mel.decibels(audio_BxS, 16000, 512, 160, 64, 50.0, 8000.0)
  np.testing.assert_allclose(ours, theirs, atol=1e-3)
