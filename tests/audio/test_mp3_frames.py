"""MP3 files without a count of their frames, or with a wrong one."""

import struct

import numpy as np
import pytest
import soundfile

from siren_jax.audio import declared_lengths as lengths
from siren_jax.audio import mp3_frames, sound_files
from siren_jax.common.errors import UserError

RATE = 16000
SIZE = 2 * RATE
FRAME = 576  # samples, of MPEG-2


@pytest.fixture(scope="module")
def content(tmp_path_factory):
  """A tone of a variable bit rate, whose first frame counts the others."""
  path = tmp_path_factory.mktemp("mpeg") / "tone.mp3"
  tone_S = 0.3 * np.sin(2 * np.pi * 440 * np.arange(SIZE) / RATE)
  soundfile.write(path, tone_S, RATE)
  return path.read_bytes()


@pytest.fixture
def read(tmp_path):
  def read(content, name="tone.mp3", rate=RATE):
    path = tmp_path / name
    path.write_bytes(content)
    audio_S, notes = sound_files.read_audio(path, rate)
    return audio_S.size, notes

  return read


def headless(content):
  """Without the frame that counts the others."""
  return content[mp3_frames.Frame(content[:4]).size :]


def count(content, frames):
  place = content.find(b"Xing") + 8
  return content[:place] + struct.pack(">I", frames) + content[place + 4 :]


def test_a_right_count_gives_the_very_length(content, read):
  assert read(content) == (SIZE, ())
  assert read(content, "tone.wav") == (SIZE, ())
  tags = b"ID3\3\0\0\0\0\2\0" + bytes(256), b"TAG" + b"x" * 125
  assert read(tags[0] + content + tags[1]) == (SIZE, ())


def test_an_mp3_without_a_count_is_read_whole(content, read, tmp_path):
  size, notes = read(headless(content))
  assert SIZE <= size < SIZE + 2 * FRAME and notes == (lengths.UNKNOWN,)
  size, notes = read(b"ID3\3\0\0\0\0\2\0" + bytes(256) + headless(content))
  assert SIZE <= size < SIZE + 2 * FRAME and notes == (lengths.UNKNOWN,)
  assert [p.name for p in tmp_path.iterdir()] == ["tone.mp3"]


def test_no_count_and_a_cut(content, read):
  size, notes = read(headless(content)[:-20])
  assert SIZE - 2 * FRAME < size < SIZE + 2 * FRAME
  assert notes == (lengths.UNKNOWN, lengths.NO_END)


@pytest.mark.parametrize("frames", [10, 57])
def test_a_count_that_is_too_low(frames, content, read):
  size, notes = read(count(content, frames))
  assert SIZE <= size < SIZE + 2 * FRAME and notes == (lengths.WRONG,)


def test_a_count_that_is_far_too_high(content, read):
  with pytest.raises(UserError, match="truncated"):
    read(count(content, 100))
  with pytest.raises(UserError, match="truncated"):
    read(content[: len(content) // 2])


def test_two_files_in_one(content, read):
  size, notes = read(content + content)
  assert 2 * SIZE <= size < 2 * SIZE + 6 * FRAME and notes == (lengths.WRONG,)


@pytest.mark.parametrize("bit_rate", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate", [8000, 22050, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_frames_are_counted_at_every_rate_and_bit_rate(
  channels, rate, bit_rate, tmp_path, read
):
  noise = np.random.default_rng(0).normal(0, 0.1, (rate, channels))
  path = tmp_path / "noise.mp3"
  soundfile.write(path, noise, rate, bitrate_mode=bit_rate)
  content = path.read_bytes()
  stream = mp3_frames.scan(path)
  assert stream.promised == stream.count and not stream.is_cut
  size, _ = read(headless(content), rate=rate)
  # The last frames may be padding, and the decoder takes 529 samples.
  samples = stream.first.samples
  assert rate - 529 <= size <= rate + 3 * samples
  assert size >= samples * stream.count - 529


def test_no_frames_are_no_stream(tmp_path):
  path = tmp_path / "noise"
  path.write_bytes(np.random.default_rng(0).bytes(100_000))
  assert mp3_frames.scan(path) is None
