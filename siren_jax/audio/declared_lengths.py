"""Lengths declared in headers of sound files, checked against the file.

libsndfile trusts some headers too much and others too little. This module
decides, before it reads, whether a file is complete, and corrects wrong
lengths, so that all of the sound is read.
"""

import dataclasses
import io
import mmap
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from siren_jax.audio import mp3_frames
from siren_jax.common.errors import UserError

UNKNOWN = "no length in the header, read to the end of the file"
WRONG = "wrong length in the header, read to the end of the file"
BEHIND = "unknown data after the audio, ignored"
CHAINED = "several streams in one file, only the first is read"
NO_END = "no end-of-stream marker, the end may be missing"

_SLACK = 64  # excess bytes declared by complete files, see `check`
_FLAC_TOTAL = (1 << 36) - 1  # the low bits of STREAMINFO's rate and length
_FLAC_PLACE = 18  # their offset in bytes
_OGG_HEAD = 27  # bytes of an Ogg page before its table of sizes
_OGG_FIRST, _OGG_LAST = 2, 4  # flags of a page
# MIDI sample dump: bytes of its header, of a packet, of sound in a packet.
_SDS, _SDS_HEAD, _SDS_PACKET, _SDS_DATA = b"\xf0\x7e", 21, 127, 120
# Offset of the first block's offset, and kinds of blocks of sound.
_VOC, _VOC_PLACE, _VOC_SOUNDS = b"Crea", 20, (b"\1", b"\t")
_MOST_CHUNKS = 10_000  # before the sound
_Order = Literal["little", "big"]  # of the bytes of a number
_CHUNK_NAME = re.compile(rb"[A-Za-z0-9_. -]{4}")

# Offset and type of the number of frames in formats without chunks.
_COUNTS = {"AVR": (26, ">I"), "MPC2K": (26, "<I"), "WVE": (18, ">I")}


@dataclasses.dataclass(frozen=True)
class Length:
  """Length of a file by its header, checked against the file.

  Attributes:
    start: offset of the file's content, after a tag.
    patches: replacement bytes by offset.
    frames: declared number of frames; 0: none; None: see libsndfile.
    notes: what was wrong or missing.
  """

  start: int = 0
  patches: Mapping[int, bytes] = dataclasses.field(default_factory=dict)
  frames: int | None = None
  notes: tuple[str, ...] = ()


class View(io.FileIO):
  """A file from offset `start`, with some bytes replaced."""

  def __init__(
    self,
    path: str | os.PathLike,
    start: int = 0,
    patches: Mapping[int, bytes] | None = None,
  ):
    super().__init__(path)
    self._start, self._patches = start, patches or {}
    self.size = max(0, os.fstat(self.fileno()).st_size - start)
    self.seek(0)

  def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
    place += self._start if whence == os.SEEK_SET else 0
    return super().seek(place, whence) - self._start

  def tell(self) -> int:
    return super().tell() - self._start

  def readinto(self, buffer: Any) -> int:
    start = self.tell()
    count = super().readinto(buffer)
    for place, new in self._patches.items():
      low, high = max(place, start), min(place + len(new), start + count)
      if low < high:
        buffer[low - start : high - start] = new[low - place : high - place]
    return count


def check(path: Path) -> Length:
  """Reads the length of a file from its header and corrects it if wrong.

  A file of chunks (WAV, RF64, W64, AIFF, CAF, AU and similar) is truncated if
  its header declares over 64 bytes more sound than there is: writers that count
  the header, or pad, declare a few bytes too many. It is complete nevertheless
  if the length of the whole file is right: then only the length of the sound is
  wrong. Lengths of 0 and of the largest numbers, written by programs that write
  to a pipe, are ignored. A sound that is followed by neither a chunk nor the
  end of the file is longer than its header says.

  FLAC files are read to their end, whatever the header says. An Ogg file is
  truncated if its last page is. Leading ID3 tags are skipped.

  Raises:
    UserError: the file is truncated.
    OSError: it cannot be read.
  """
  with path.open("rb") as whole:
    start = mp3_frames.after_id3(whole)
  with View(path, start) as file:
    magic = file.read(4)
    if magic == b"OggS":
      length = _ogg(path, file)
    elif magic == b"fLaC":
      length = _flac(file)
    elif magic in _LAYOUTS or magic in _AU:
      length = _chunks(path, file, magic)
    elif magic == _VOC:
      length = _voc(path, file)
    elif magic[:2] == _SDS:
      length = _sds(path, file)
    else:
      return Length()
  return dataclasses.replace(length, start=start)


def promised(path: Path, kind: str) -> int | None:
  """Frames declared by a file without chunks, of libsndfile's format `kind`."""
  if kind == "NIST":
    with path.open("rb") as file:
      count = re.search(rb"sample_count -i (\d+)", file.read(1024))
    return int(count[1]) if count else None
  if kind not in _COUNTS:
    return None
  place, layout = _COUNTS[kind]
  with path.open("rb") as file:
    return struct.unpack_from(layout, file.read(64), place)[0]


def truncated(path: Path) -> UserError:
  return UserError(f"{path}: truncated; copy or download the file again")


def _flac(file: View) -> Length:
  """Hides the total from libsndfile, which then reads all frames."""
  file.seek(_FLAC_PLACE)
  word = int.from_bytes(file.read(8), "big")
  total = word & _FLAC_TOTAL
  hidden = (word - total).to_bytes(8, "big")
  notes = () if total else (UNKNOWN,)
  return Length(0, {_FLAC_PLACE: hidden}, total, notes)


def _ogg(path: Path, file: View) -> Length:
  """Checks that the last page is complete and marked as the last."""
  notes, place, is_last, has_sound = [], 0, False, False
  with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
    while (place := data.find(b"OggS", place)) >= 0:
      head = data[place : place + _OGG_HEAD]
      segments = head[-1] if len(head) == _OGG_HEAD else 0
      sizes = data[place + _OGG_HEAD : place + _OGG_HEAD + segments]
      place += _OGG_HEAD + segments + sum(sizes)
      if len(head) < _OGG_HEAD or place > len(data):
        raise truncated(path)
      is_first = bool(head[5] & _OGG_FIRST)
      is_last = bool(head[5] & _OGG_LAST)
      if is_first and has_sound:
        notes = [CHAINED]
      has_sound |= not is_first
  return Length(notes=tuple(notes if is_last else [*notes, NO_END]))


def _sds(path: Path, file: View) -> Length:
  """Counts the packets: libsndfile replaces missing ones with zeros."""
  file.seek(0)
  head = file.read(_SDS_HEAD)
  if len(head) == _SDS_HEAD:
    frames = sum(digit << 7 * i for i, digit in enumerate(head[10:13]))
    each = _SDS_DATA // max(2, -(-head[6] // 7))
    if _SDS_HEAD + _SDS_PACKET * -(-frames // max(1, each)) > file.size:
      raise truncated(path)
  return Length()


def _voc(path: Path, file: View) -> Length:
  """Finds the end of the first block of sound."""
  file.seek(_VOC_PLACE)
  place = int.from_bytes(file.read(2), "little")
  for _ in range(_MOST_CHUNKS):
    file.seek(place)
    kind, size = file.read(1), int.from_bytes(file.read(3), "little")
    place += 4 + size
    if kind in _VOC_SOUNDS and place > file.size + _SLACK:
      raise truncated(path)
    if place >= file.size or kind in (b"\0", *_VOC_SOUNDS):
      break
  return Length()


@dataclasses.dataclass(frozen=True)
class _Layout:
  """How a family of files writes its chunks.

  Attributes:
    order: of the bytes of a number.
    first: offset of the first chunk.
    whole: offset of the length of the whole file, and the bytes it excludes;
      None: there is none.
    name, number: bytes of a chunk's name, and of its length.
    counted: bytes of a chunk's own header that its length includes.
    align: alignment of chunks.
    sounds: names of the chunk that holds the sound.
  """

  order: _Order
  first: int = 12
  whole: tuple[int, int] | None = (4, 8)
  name: int = 4
  number: int = 4
  counted: int = 0
  align: int = 2
  sounds: tuple[bytes, ...] = (b"data",)


_LAYOUTS = {
  b"RIFF": _Layout("little"),
  b"RIFX": _Layout("big"),
  b"RF64": _Layout("little"),
  b"BW64": _Layout("little"),
  b"FORM": _Layout("big", sounds=(b"SSND", b"BODY")),
  b"riff": _Layout("little", 40, (16, 0), 16, 8, 24, 8),  # W64
  b"caff": _Layout("big", 8, None, number=8, align=1),
}
_AU: dict[bytes, _Order] = {b".snd": "big", b"dns.": "little"}
# ds64: the lengths of an RF64 file, and their offsets.
_LONG, _LONG_WHOLE, _LONG_SOUND = b"ds64", 20, 28


@dataclasses.dataclass(frozen=True)
class _Sound:
  """The bytes of the sound, according to the header.

  Attributes:
    start, size: offset and number of bytes.
    field: offset of the field with the size, and its width in bytes.
    counted: excess of that field over `size`.
    end: of the whole file; None if the header does not say.
  """

  start: int
  size: int
  field: tuple[int, int]
  counted: int = 0
  end: int | None = None


def _chunks(path: Path, file: View, magic: bytes) -> Length:
  """Compares the end of the sound with the end of the file."""
  size = file.size
  if magic in _AU:
    layout = _Layout(_AU[magic])
    sound: _Sound | None = _au(file, layout.order)
  else:
    layout = _LAYOUTS[magic]
    sound = _sound(file, layout, magic)
  if sound is None or sound.start > size:
    return Length()
  patches = {0: b"RF64"} if magic == b"BW64" else {}  # the same format
  place, width = sound.field
  missing = sound.start + sound.size - size
  unknown = _no_number(sound.size, width)
  if missing == 0 or (missing < 0 and _followed(file, sound, layout)):
    return Length(patches=patches)
  if unknown:
    notes = (UNKNOWN,)
  elif missing < 0 and _agree(sound, layout):
    return Length(patches=patches, notes=(BEHIND,))
  elif missing > _SLACK and not _is_near(sound.end, size):
    raise truncated(path)
  else:
    notes = (WRONG,)
  number = size - sound.start + sound.counted
  if number < 1 << 8 * width:
    patches[place] = number.to_bytes(width, layout.order)
  return Length(patches=patches, notes=notes)


def _sound(file: View, layout: _Layout, magic: bytes) -> _Sound | None:
  """Walks over the chunks to the sound, which may start at the end of file."""

  def number(place: int, width: int) -> int:
    file.seek(place)
    return int.from_bytes(file.read(width), layout.order)

  long = False
  place, head = layout.first, layout.name + layout.number
  end = None
  if layout.whole:
    start, left_out = layout.whole
    whole = number(start, layout.number)
    if not _no_number(whole, layout.number):
      end = whole + left_out
  for _ in range(_MOST_CHUNKS):
    file.seek(place)
    name = file.read(layout.name)[:4]
    size = number(place + layout.name, layout.number) - layout.counted
    size = max(0, size)
    if not _CHUNK_NAME.fullmatch(name):
      return None
    if name in layout.sounds:
      break
    long |= name == _LONG and place == layout.first
    place += head + size + -(head + size) % layout.align
    if place > file.size:
      return None
  else:
    return None
  field = (place + layout.name, layout.number)
  if long and magic in (b"RF64", b"BW64"):
    end = number(_LONG_WHOLE, 8) + 8
    size, field = number(_LONG_SOUND, 8), (_LONG_SOUND, 8)
  return _Sound(place + head, size, field, layout.counted, end)


def _au(file: View, order: _Order) -> _Sound:
  """Reads start and length of the sound from the header of an AU file."""
  file.seek(4)
  start = int.from_bytes(file.read(4), order)
  return _Sound(start, int.from_bytes(file.read(4), order), (8, 4))


def _followed(file: View, sound: _Sound, layout: _Layout) -> bool:
  """Whether the sound is followed by another chunk, or by padding only."""
  padded = _padded(sound, layout)
  for place in (sound.start + sound.size, padded):
    file.seek(place)
    if _CHUNK_NAME.fullmatch(file.read(4)):
      return True
  return padded >= file.size


def _agree(sound: _Sound, layout: _Layout) -> bool:
  """Whether, by the header, the file ends where the sound ends."""
  end = sound.start + sound.size
  return sound.end in (end, _padded(sound, layout))


def _padded(sound: _Sound, layout: _Layout) -> int:
  """Offset of a chunk after the sound."""
  return sound.start + sound.size + -sound.size % layout.align


def _is_near(end: int | None, size: int) -> bool:
  return end is not None and abs(end - size) <= 1


def _no_number(size: int, width: int) -> bool:
  """Whether a length is a placeholder of programs that write to a pipe."""
  return (
    size == 0
    or size >= (1 << 8 * width) - 256
    or 0x7FFFF000 <= size <= 0x80000000  # sox, arecord
    or size == (1 << 8 * width - 1) - 1
  )
