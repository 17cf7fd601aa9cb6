"""Counts the frames of MP3 files to get their length.

libsndfile trusts the frame count in the header of an MP3 file, and guesses from
the file size without one. This module counts the frames; a file with a wrong or
missing count is read from a copy with the right one.
"""

import contextlib
import dataclasses
import mmap
import re
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_RATES = (44100, 48000, 32000)  # Hz, of MPEG-1
_KBPS_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_1, _RESERVED, _LAYER_3, _MONO = 3, 1, 1, 3
_SYNC = re.compile(rb"\xff[\xe0-\xff]")
_REACH = 1 << 16  # bytes before the first frame
_COUNT = b"\0\0\0\1"  # flag of a header: the number of frames follows


@dataclasses.dataclass(frozen=True)
class Frame:
  """The header of a Layer III frame, four bytes."""

  head: bytes

  @property
  def version(self) -> int:
    return self.head[1] >> 3 & 3

  @property
  def size(self) -> int:
    """Bytes of the whole frame; 0: not a valid header."""
    valid = (
      len(self.head) == 4
      and self.head[0] == 0xFF
      and self.head[1] >> 5 == 7
      and self.version != _RESERVED
      and self.head[1] >> 1 & 3 == _LAYER_3
      and self.head[2] >> 4 not in (0, 15)
      and self.head[2] >> 2 & 3 != 3
    )
    if not valid:
      return 0
    is_1 = self.version == _MPEG_1
    kbps = (_KBPS_1 if is_1 else _KBPS_2)[(self.head[2] >> 4) - 1]
    rate = _RATES[self.head[2] >> 2 & 3] // {3: 1, 2: 2, 0: 4}[self.version]
    padding = self.head[2] >> 1 & 1
    return self.samples // 8 * 1000 * kbps // rate + padding

  @property
  def samples(self) -> int:
    return 1152 if self.version == _MPEG_1 else 576

  @property
  def tag(self) -> int:
    """Offset of the header of the whole file, in the first frame."""
    mono = self.head[3] >> 6 == _MONO
    side = (
      (17 if mono else 32) if self.version == _MPEG_1 else 9 + 8 * (1 - mono)
    )
    return 4 + side

  def is_like(self, other: "Frame") -> bool:
    """Whether both can belong to one stream: same version, layer and rate."""
    return (
      self.size > 0
      and self.head[1] & 0xFE == other.head[1] & 0xFE
      and self.head[2] & 0x0C == other.head[2] & 0x0C
    )


@dataclasses.dataclass(frozen=True)
class Stream:
  """The frames of a file.

  Attributes:
    first: the first frame that holds sound.
    start: its offset.
    count: number of complete frames.
    is_cut: whether the file ends with an incomplete frame.
    promised: frames declared by the header; None: not declared.
  """

  first: Frame
  start: int
  count: int
  is_cut: bool
  promised: int | None

  def fits(self, samples: int) -> bool:
    """Whether libsndfile's number of samples is that of the frames."""
    if self.promised is not None:
      # A header that declares far more is right, and the file is truncated.
      return self.promised == self.count or self.promised > self.count + 1
    end = self.count * self.first.samples
    return end - self.first.samples <= samples <= end


def scan(path: Path) -> Stream | None:
  """Counts the frames of a Layer III file; None: it is not one."""
  with (
    path.open("rb") as file,
    mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
  ):
    start = _first(data, after_id3(data, 0))
    if start is None:
      return None
    first = Frame(data[start : start + 4])
    promised = _promised(data[start : start + first.size], first)
    if promised is not None:
      start += first.size
    return Stream(first, start, *_count(data, start, first), promised)


def after_id3(file: BinaryIO | mmap.mmap, place: int = 0) -> int:
  """Offset after the ID3v2 tags that begin at `place`."""
  while True:
    file.seek(place)
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
      return place
    place += 10 + sum(d << 7 * i for i, d in enumerate(head[:5:-1]))


def _first(data: mmap.mmap, place: int) -> int | None:
  """Offset of the first frame that is followed by another."""
  for match in _SYNC.finditer(data, place, place + _REACH):
    frame = Frame(data[match.start() : match.start() + 4])
    after = match.start() + frame.size
    if frame.size and Frame(data[after : after + 4]).is_like(frame):
      return match.start()
  return None


def _promised(content: bytes, first: Frame) -> int | None:
  """The number of frames in a Xing or Info header."""
  header = content[first.tag : first.tag + 12]
  if header[:4] not in (b"Xing", b"Info") or len(header) < 12:
    return None
  return int.from_bytes(header[8:], "big") if header[7] & 1 else 0


def _count(data: mmap.mmap, place: int, first: Frame) -> tuple[int, bool]:
  """Complete frames from `place`, and whether the file ends within a frame."""
  count = 0
  while True:
    frame = Frame(data[place : place + 4])
    if frame.is_like(first):
      if place + frame.size > len(data):
        return count, True
      count += 1
      place += frame.size
      continue
    behind = after_id3(data, place)
    after = behind if behind > place else _next(data, place + 1, first)
    if after is None or after >= len(data):
      return count, False
    place = after


def _next(data: mmap.mmap, place: int, first: Frame) -> int | None:
  """Offset where frames continue after other data."""
  for match in _SYNC.finditer(data, place):
    frame = Frame(data[match.start() : match.start() + 4])
    after = match.start() + frame.size
    if frame.is_like(first) and (
      after == len(data) or Frame(data[after : after + 4]).is_like(first)
    ):
      return match.start()
  return None


@contextlib.contextmanager
def counted(path: Path, stream: Stream) -> Iterator[str]:
  """Name of a temporary copy of the file with the right count in its header.

  The suffix matters: libsndfile recognises MP3 by the file name.
  """
  with (
    path.open("rb") as file,
    tempfile.NamedTemporaryFile(suffix=".mp3") as copy,
  ):
    copy.write(_header(stream))
    file.seek(stream.start)
    shutil.copyfileobj(file, copy)
    copy.flush()
    yield copy.name


def _header(stream: Stream) -> bytes:
  """A silent frame at the highest bit rate, large enough for the header."""
  head = bytearray(stream.first.head)
  head[1] |= 1
  head[2] = head[2] & 0x0F | 14 << 4
  frame = Frame(bytes(head))
  count = b"Info" + _COUNT + struct.pack(">I", stream.count)
  return (frame.head.ljust(frame.tag, b"\0") + count).ljust(frame.size, b"\0")
