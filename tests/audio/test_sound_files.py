import os
import resource
import time
import tracemalloc

import numpy as np
import pytest
import soundfile

from siren_jax.audio import resample, sound_files
from siren_jax.common.errors import UserError

RATE = 16000


def tone(rate=RATE, seconds=0.5, hz=440.0):
  t = np.arange(round(rate * seconds)) / rate
  return (0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def peak_hz(audio_S, rate):
  spectrum = np.abs(np.fft.rfft(audio_S * np.hanning(audio_S.size)))
  return spectrum.argmax() * rate / audio_S.size


@pytest.mark.parametrize(
  ("suffix", "options"),
  [
    ("wav", {}),
    ("flac", {}),
    ("ogg", {}),
    ("mp3", {}),
    ("opus", dict(format="OGG", subtype="OPUS")),
    ("aif", dict(format="AIFF")),
    ("au", {}),
    ("caf", {}),
    ("w64", {}),
    ("rf64", {}),
    ("iff", dict(format="SVX")),
    ("txt", dict(format="WAVEX", subtype="PCM_24")),
    ("wav", dict(format="MP3")),
    ("flac", dict(format="WAV")),
  ],
)
def test_reads_each_format(tmp_path, suffix, options):
  path = tmp_path / f"a.{suffix}"
  soundfile.write(path, tone(), RATE, **options)
  audio_S, notes = sound_files.read_audio(path, RATE)
  assert audio_S.dtype == np.float32 and notes == ()
  assert abs(audio_S.size - RATE // 2) < 1200  # mp3 pads
  assert abs(peak_hz(audio_S, RATE) - 440) < 5


def test_resampling_and_mixing_down_are_noted(tmp_path):
  left = tone(44100)
  soundfile.write(tmp_path / "a.wav", np.stack([left, 0 * left], 1), 44100)
  audio_S, notes = sound_files.read_audio(tmp_path / "a.wav", RATE)
  assert notes == ("2 channels mixed down", "resampled 44100 -> 16000 Hz")
  assert audio_S.size == RATE // 2
  assert abs(peak_hz(audio_S, RATE) - 440) < 5
  assert np.abs(audio_S[1000:-1000]).max() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
  ("rate", "channels", "size"),
  [(44100, 1, 3 << 20), (8000, 2, 700_001), (22222, 3, 5), (RATE, 1, 9)],
)
def test_reading_in_blocks_changes_no_bit(rate, channels, size, tmp_path):
  rng = np.random.default_rng(0)
  audio_SxI = rng.uniform(-0.5, 0.5, (size, channels)).astype("f4")
  soundfile.write(tmp_path / "a.wav", audio_SxI, rate, "FLOAT")
  audio_S, _ = sound_files.read_audio(tmp_path / "a.wav", RATE)
  at_once_S = resample.resample_soxr(audio_SxI.mean(axis=1), rate, RATE)
  np.testing.assert_array_equal(audio_S, at_once_S)
  other_S, _ = sound_files.read_audio(
    tmp_path / "a.wav", RATE, resample.resample_soxr
  )
  np.testing.assert_array_equal(other_S, at_once_S)


def test_channels_that_cancel_each_other(tmp_path):
  path = tmp_path / "a.wav"
  left_S = tone()
  for right_S in (-left_S, -0.9 * left_S):
    soundfile.write(path, np.stack([left_S, right_S], 1), RATE, "FLOAT")
    audio_S, notes = sound_files.read_audio(path, RATE)
    assert notes == ("channels cancel each other, only channel 1 of 2 kept",)
    np.testing.assert_array_equal(audio_S, left_S)
  rng = np.random.default_rng(0)
  soundfile.write(path, rng.normal(0, 0.1, (RATE, 6)), RATE)
  assert sound_files.read_audio(path, RATE)[1] == ("6 channels mixed down",)


def test_silence_is_judged_a_channel_at_a_time(tmp_path):
  path = tmp_path / "a.wav"
  quiet_S = 3e-4 * tone()  # below the limit when mixed with silence
  soundfile.write(path, np.stack([0 * quiet_S, quiet_S], 1), RATE, "FLOAT")
  audio_S, _ = sound_files.read_audio(path, RATE)
  np.testing.assert_array_equal(audio_S, quiet_S / 2)
  silent_SxI = np.full((RATE, 2), [0.5, -0.5])  # nothing but a constant level
  soundfile.write(path, silent_SxI, RATE)
  with pytest.raises(UserError, match="silent"):
    sound_files.read_audio(path, RATE)


@pytest.mark.parametrize("peak", [1.01, 2.4, 32767.0])
def test_samples_beyond_full_scale_are_scaled_down(peak, tmp_path):
  path = tmp_path / "a.wav"
  audio_S = tone() * 2
  soundfile.write(path, peak * audio_S, RATE, "FLOAT")
  scaled_S, notes = sound_files.read_audio(path, RATE)
  assert notes == ("samples beyond full scale, whole sound scaled down to fit",)
  np.testing.assert_allclose(scaled_S, audio_S / audio_S.max(), atol=1e-6)
  soundfile.write(path, audio_S, RATE)  # full scale itself
  assert sound_files.read_audio(path, RATE)[1] == ()


def test_too_long_is_known_before_memory_is_taken(tmp_path):
  path = tmp_path / "a.wav"
  soundfile.write(path, tone(), RATE)
  with path.open("r+b") as file:
    file.truncate(3_000_000_000)  # sparse: it takes no room on the disk
    for place, size in ((4, 3_000_000_000 - 8), (40, 3_000_000_000 - 44)):
      file.seek(place)
      file.write(size.to_bytes(4, "little"))
  tracemalloc.start()
  start = time.monotonic()
  with pytest.raises(UserError, match="93750 s long, but the limit is 3600 s"):
    sound_files.read_audio(path, RATE)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 1 << 20 and time.monotonic() - start < 1


def test_limit_of_seconds(tmp_path):
  for name in ("a.wav", "a.flac", "a.ogg", "a.mp3"):
    path = tmp_path / name
    soundfile.write(path, tone(seconds=2), RATE)
    assert sound_files.read_audio(path, RATE, max_seconds=2)[0].size == 2 * RATE
    with pytest.raises(UserError, match="2 s long, but the limit is 1.9 s"):
      sound_files.read_audio(path, RATE, max_seconds=1.9)


def test_a_length_that_is_not_known_is_limited_as_well(tmp_path):
  path = tmp_path / "a.flac"
  soundfile.write(path, tone(seconds=2), RATE)
  content = bytearray(path.read_bytes())
  word = int.from_bytes(content[18:26], "big") >> 36 << 36
  content[18:26] = word.to_bytes(8, "big")
  path.write_bytes(content)
  with pytest.raises(UserError, match="limit is 1 s"):
    sound_files.read_audio(path, RATE, max_seconds=1)


def test_too_short_to_resample(tmp_path):
  soundfile.write(tmp_path / "a.wav", np.full(2, 0.5, np.float32), 48000)
  with pytest.raises(UserError, match="shorter than one"):
    sound_files.read_audio(tmp_path / "a.wav", 8000)


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
def test_content_that_is_no_sound_is_refused_in_one_line(
  tmp_path, content, message
):
  path = tmp_path / "a.wav"
  _write(path, content)
  with pytest.raises(UserError, match=message) as caught:
    sound_files.read_audio(path, RATE)
  assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.au", "a.snd", "a.vox", "a.raw", "a.mp3"])
def test_what_is_no_sound_is_not_taken_for_one(name, tmp_path):
  path = tmp_path / name
  path.write_text("libsndfile guesses by the suffix what this is. " * 99)
  with pytest.raises(UserError, match="save it as wav"):
    sound_files.read_audio(path, RATE)
  path.write_text("<!DOCTYPE html><title>429 Too Many Requests</title>")
  with pytest.raises(UserError, match="web page|no header"):
    sound_files.read_audio(path, RATE)


def test_names_that_are_not_utf8(tmp_path):
  path = tmp_path / os.fsdecode(b"caf\xe9.wav")
  sound_files.write_audio(path, tone(), RATE)
  assert sound_files.read_audio(path, RATE)[0].size == RATE // 2


def test_missing_file_and_folder(tmp_path):
  with pytest.raises(UserError, match="no such file"):
    sound_files.read_audio(tmp_path / "a.wav", RATE)
  with pytest.raises(UserError, match="is a folder"):
    sound_files.read_audio(tmp_path, RATE)
  with pytest.raises(UserError, match="name too long"):
    sound_files.read_audio(tmp_path / ("a" * 300), RATE)
  os.mkfifo(tmp_path / "pipe.wav")
  with pytest.raises(UserError, match="not a regular file"):
    sound_files.read_audio(tmp_path / "pipe.wav", RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_truncated_files_are_refused(tmp_path, suffix):
  path = tmp_path / f"a.{suffix}"
  soundfile.write(path, tone(seconds=3), RATE)
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with pytest.raises(UserError, match="truncated|cannot be read"):
    sound_files.read_audio(path, RATE)


def test_wav_of_unknown_length_is_not_truncated(tmp_path):
  path = tmp_path / "a.wav"
  soundfile.write(path, tone(), RATE)
  content = bytearray(path.read_bytes())
  content[4:8] = b"\xff\xff\xff\xff"  # as ffmpeg writes to a pipe
  path.write_bytes(content)
  assert sound_files.read_audio(path, RATE)[0].size == RATE // 2


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".WAV"])
def test_write_in_the_format_of_the_suffix(suffix, tmp_path):
  path = tmp_path / "new" / f"a{suffix}"
  audio_S = tone(seconds=70)  # longer than libvorbis takes at once
  assert sound_files.write_audio(path, audio_S, RATE) == ()
  info = soundfile.info(path)
  assert (info.samplerate, info.channels) == (RATE, 1)
  assert (info.format, info.subtype) == sound_files.WRITTEN[suffix.lower()]
  read_S, notes = sound_files.read_audio(path, RATE)
  assert read_S.size == audio_S.size and notes == ()
  assert abs(peak_hz(read_S, RATE) - 440) < 1
  assert os.listdir(path.parent) == [path.name]


def test_clipping_is_counted(tmp_path):
  path = tmp_path / "a.wav"
  audio_S = 2 * tone()
  (note,) = sound_files.write_audio(path, 2 * audio_S, RATE)
  count = (np.abs(2 * audio_S) > 1).sum()
  assert note == f"{count} samples beyond full scale clipped"
  read_S, _ = sound_files.read_audio(path, RATE)
  np.testing.assert_allclose(read_S, np.clip(2 * audio_S, -1, 1), atol=1e-4)


@pytest.mark.parametrize("name", ["a.m4a", "a", "a.opus", "wav"])
def test_other_formats_are_not_written(name, tmp_path):
  with pytest.raises(UserError, match="choose .wav, .flac, .ogg, .mp3"):
    sound_files.write_audio(tmp_path / name, tone(), RATE)
  assert not any(tmp_path.iterdir())


def test_unwritable_places_rates_and_samples(tmp_path):
  (tmp_path / "file").write_text("x")
  with pytest.raises(UserError, match="cannot write"):
    sound_files.write_audio(tmp_path / "file" / "a.wav", tone(), RATE)
  with pytest.raises(UserError, match="NaN"):
    sound_files.write_audio(tmp_path / "a.wav", np.array([np.nan]), RATE)
  with pytest.raises(UserError, match="22222 Hz"):
    sound_files.write_audio(tmp_path / "a.mp3", tone(), 22222)
  assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("suffix", sound_files.WRITTEN)
def test_a_full_disk_leaves_nothing(suffix, tmp_path):
  """libsndfile alone would say nothing, or fail an assertion of soundfile."""
  noise_S = np.random.default_rng(0).normal(0, 0.1, 20 * RATE)
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
  try:
    with pytest.raises(UserError, match="cannot write.*free space"):
      sound_files.write_audio(tmp_path / f"a{suffix}", noise_S, RATE)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert not os.listdir(tmp_path)
