"""Headers that promise too much, too little or nothing."""

import struct

import numpy as np
import pytest
import soundfile

from siren_jax.audio import declared_lengths as lengths
from siren_jax.audio import sound_files
from siren_jax.common.errors import UserError

RATE = 16000
SIZE = 2 * RATE
# Where each format keeps the length of the sound, and of the whole file.
FIELDS = {
  "WAV": ("<I", 40, 4),
  "RF64": ("<Q", 28, 20),
  "W64": ("<Q", 96, 16),
  "AIFF": (">I", 42, 4),
  "AU": (">I", 8, None),
  "CAF": (">q", None, None),
}
CHUNKED = tuple(FIELDS)


@pytest.fixture(scope="module")
def noise():
  rng = np.random.default_rng(0)
  return (0.1 * rng.standard_normal(SIZE)).astype("f4")


@pytest.fixture
def written(tmp_path, noise):
  """Writes the noise in a format; gives the bytes."""

  def written(kind, subtype=None, **options):
    path = tmp_path / "whole"
    soundfile.write(path, noise, RATE, subtype=subtype, format=kind, **options)
    return bytearray(path.read_bytes())

  return written


@pytest.fixture
def read(tmp_path):
  """Reads a file of the given bytes; gives its length and the notes."""

  def read(content):
    path = tmp_path / "sound"
    path.write_bytes(content)
    audio_S, notes = sound_files.read_audio(path, RATE)
    return audio_S.size, notes

  return read


def fields(kind, content):
  """Layout and places of the length of the sound and of the whole file."""
  layout, place, whole = FIELDS[kind]
  if kind == "CAF":
    place = content.find(b"data") + 4
  return layout, place, whole


def add(content, layout, place, more):
  if place is not None:
    (size,) = struct.unpack_from(layout, content, place)
    struct.pack_into(layout, content, place, size + more)


@pytest.mark.parametrize("kind", [*CHUNKED, "FLAC", "OGG", "AVR", "NIST"])
def test_whole_and_half(kind, written, read):
  content = written(kind)
  assert read(content) == (SIZE, ())
  with pytest.raises(UserError, match="truncated|cannot be read"):
    read(content[: len(content) // 2])
  with pytest.raises(UserError, match="truncated|cannot be read"):
    read(content[:-100])


@pytest.mark.parametrize("kind", CHUNKED)
def test_a_few_bytes_too_many_are_no_cut(kind, written, read):
  content = written(kind)
  layout, place, whole = fields(kind, content)
  add(content, layout, place, 16)
  add(content, layout, whole, 16)
  assert read(content) == (SIZE, (lengths.WRONG,))


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF"])
def test_a_whole_file_with_far_too_long_a_sound(kind, written, read):
  content = written(kind)
  layout, place, _ = fields(kind, content)
  add(content, layout, place, 20000)
  assert read(content) == (SIZE, (lengths.WRONG,))


@pytest.mark.parametrize("kind", CHUNKED)
def test_a_length_that_ends_in_the_middle_of_the_sound(kind, written, read):
  content = written(kind)
  layout, place, _ = fields(kind, content)
  add(content, layout, place, -SIZE)
  assert read(content) == (SIZE, (lengths.WRONG,))


@pytest.mark.parametrize("kind", CHUNKED)
@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
def test_no_length_of_a_stream(kind, filler, written, read):
  content = written(kind)
  layout, place, whole = fields(kind, content)
  for field in (place, whole):
    if field is not None:
      width = struct.calcsize(layout)
      content[field : field + width] = filler * width
  assert read(content) == (SIZE, (lengths.UNKNOWN,))


@pytest.mark.parametrize("size", [0x7FFFF000, 0x80000000])
def test_sox_and_arecord_write_a_length_to_a_pipe(size, written, read):
  content = written("WAV")
  struct.pack_into("<I", content, 4, size + 36)
  struct.pack_into("<I", content, 40, size)
  assert read(content) == (SIZE, (lengths.UNKNOWN,))


def test_chunks_behind_the_sound_are_no_sound(written, read):
  chunk = b"LIST" + struct.pack("<I", 4) + b"INFO"
  content = written("WAV", "PCM_U8")[:-1]
  struct.pack_into("<I", content, 40, SIZE - 1)
  for padding in (b"\0", b""):
    assert read(content + padding + chunk) == (SIZE - 1, ())
  assert read(content + b"\0" + chunk[:6]) == (SIZE - 1, ())
  tag = b"TAG" + b"\xff" * 125
  assert read(written("WAV") + tag) == (SIZE, (lengths.BEHIND,))


def test_no_sound_before_another_chunk_is_no_stream(written, read):
  content = written("WAV")[:44]
  struct.pack_into("<I", content, 40, 0)
  with pytest.raises(UserError, match="0 samples"):
    read(content + b"LIST" + struct.pack("<I", 4) + b"INFO")
  with pytest.raises(UserError, match="0 samples"):
    read(content)


def test_bw64_is_rf64(written, read):
  content = written("RF64")
  content[:4] = b"BW64"
  assert read(content) == (SIZE, ())
  with pytest.raises(UserError, match="truncated"):
    read(content[:40000])


@pytest.mark.parametrize(
  ("total", "notes"),
  [(0, (lengths.UNKNOWN,)), (SIZE // 2, (lengths.WRONG,))],
)
def test_flac_is_read_to_its_end(total, notes, written, read):
  content = written("FLAC")
  word = int.from_bytes(content[18:26], "big") >> 36 << 36
  content[18:26] = (word | total).to_bytes(8, "big")
  assert read(content) == (SIZE, notes)


def test_a_tag_behind_flac_is_no_sound(written, read):
  tag = b"TAG" + b"x" * 125
  assert read(written("FLAC") + tag) == (SIZE, (lengths.BEHIND,))


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "AU", "FLAC"])
def test_a_tag_in_front_hides_no_wrong_length(kind, written, read):
  tag = b"ID3\3\0\0\0\0\1\0" + bytes(128)
  content = written(kind)
  assert read(tag + content) == (SIZE, ())
  with pytest.raises(UserError, match="truncated"):
    read(tag + content[: len(content) // 2])
  if kind == "FLAC":
    content[18:26] = content[18:22] + (SIZE // 2).to_bytes(4, "big")
  else:
    layout, place, _ = fields(kind, content)
    struct.pack_into(layout, content, place, SIZE)
  assert read(tag + content) == (SIZE, (lengths.WRONG,))


@pytest.mark.parametrize("kind", ["SDS", "VOC"])
def test_half_of_a_file_of_blocks(kind, written, read):
  content = written(kind)
  assert read(content) == (SIZE, ())
  with pytest.raises(UserError, match="truncated"):
    read(content[: len(content) // 2])


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_stream_without_an_end(subtype, tmp_path, noise, read):
  path = tmp_path / "long"
  soundfile.write(path, np.tile(noise, 10), RATE, subtype=subtype, format="OGG")
  content = path.read_bytes()
  size, notes = read(content[: content.rfind(b"OggS")])
  assert notes == (lengths.NO_END,) and 0.9 < size / (10 * SIZE) < 1
  with pytest.raises(UserError, match="truncated"):
    read(content[:-9])


def test_two_ogg_streams_in_one_file(written, read):
  content = written("OGG")
  assert read(content) == (SIZE, ())
  assert read(content + content) == (SIZE, (lengths.CHAINED,))
  assert read(content + b"TAG" + bytes(125)) == (SIZE, ())


def test_an_endless_row_of_chunks_is_given_up(read):
  head = b"RIFF\xff\xff\xff\xffWAVE"
  with pytest.raises(UserError, match="cannot be read"):
    read(head + (b"JUNK" + bytes(4)) * 100_000)
