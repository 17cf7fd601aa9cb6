import os

import numpy as np
import pytest
import soundfile

from siren_jax.common.errors import UserError
from siren_jax.data import audio

RATE = 16000


def tone(rate=RATE, seconds=0.5, hz=440.0):
  t = np.arange(round(rate * seconds)) / rate
  return (0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def peak_hz(audio_S, rate):
  spectrum = np.abs(np.fft.rfft(audio_S * np.hanning(audio_S.size)))
  return spectrum.argmax() * rate / audio_S.size


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_reads_each_format(tmp_path, suffix):
  path = tmp_path / f"a.{suffix}"
  soundfile.write(path, tone(), RATE)
  audio_S, notes = audio.read_audio(path, RATE)
  assert audio_S.dtype == np.float32 and notes == ()
  assert abs(audio_S.size - RATE // 2) < 1200  # mp3 pads
  assert abs(peak_hz(audio_S, RATE) - 440) < 5


def test_resamples_and_mixes_down_and_says_so(tmp_path):
  left = tone(44100)
  soundfile.write(tmp_path / "a.wav", np.stack([left, 0 * left], 1), 44100)
  audio_S, notes = audio.read_audio(tmp_path / "a.wav", RATE)
  assert notes == ("2 channels mixed down", "resampled 44100 -> 16000 Hz")
  assert audio_S.size == RATE // 2
  assert abs(peak_hz(audio_S, RATE) - 440) < 5
  assert np.abs(audio_S[1000:-1000]).max() == pytest.approx(0.25, abs=0.01)


def test_too_short_to_resample(tmp_path):
  soundfile.write(tmp_path / "a.wav", np.full(2, 0.5, np.float32), 48000)
  with pytest.raises(UserError, match="too short"):
    audio.read_audio(tmp_path / "a.wav", 8000)


def _write(path, content):
  if isinstance(content, bytes):
    path.write_bytes(content)
  else:
    soundfile.write(path, content, RATE, subtype="FLOAT")


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "cannot be read as audio"),
    (b"hello, this is text" * 99, "cannot be read as audio"),
    (np.zeros(0, np.float32), "0 samples"),
    (np.zeros(RATE, np.float32), "silent"),
    (np.full(RATE, 1e-6, np.float32), "silent"),
    (np.array([0.1, np.nan, 0.1], np.float32), "NaN"),
    (np.array([0.1, np.inf, 0.1], np.float32), "infinite"),
  ],
)
def test_bad_content(tmp_path, content, message):
  path = tmp_path / "a.wav"
  _write(path, content)
  with pytest.raises(UserError, match=message) as caught:
    audio.read_audio(path, RATE)
  assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
  with pytest.raises(UserError, match="no such file"):
    audio.read_audio(tmp_path / "a.wav", RATE)
  with pytest.raises(UserError, match="is a folder"):
    audio.read_audio(tmp_path, RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_truncated_file(tmp_path, suffix):
  path = tmp_path / f"a.{suffix}"
  soundfile.write(path, tone(seconds=3), RATE)
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with pytest.raises(UserError, match="truncated|cannot be read"):
    audio.read_audio(path, RATE)


def test_wav_of_unknown_length_is_not_truncated(tmp_path):
  path = tmp_path / "a.wav"
  soundfile.write(path, tone(), RATE)
  content = bytearray(path.read_bytes())
  content[4:8] = b"\xff\xff\xff\xff"  # as ffmpeg writes to a pipe
  path.write_bytes(content)
  assert audio.read_audio(path, RATE)[0].size == RATE // 2


def test_write_wav_is_16_bit_and_makes_folders(tmp_path):
  path = tmp_path / "new" / "a.wav"
  audio.write_wav(path, 2 * tone(), RATE)
  info = soundfile.info(path)
  assert (info.subtype, info.samplerate, info.channels) == ("PCM_16", RATE, 1)
  audio_S, _ = audio.read_audio(path, RATE)
  np.testing.assert_allclose(audio_S, np.clip(2 * tone(), -1, 1), atol=1e-4)
  assert os.listdir(path.parent) == ["a.wav"]


def test_unwritable_places(tmp_path):
  (tmp_path / "file").write_text("x")
  with pytest.raises(UserError, match="cannot write"):
    audio.write_wav(tmp_path / "file" / "a.wav", tone(), RATE)
  with pytest.raises(UserError, match="NaN"):
    audio.write_wav(tmp_path / "a.wav", np.array([np.nan]), RATE)
