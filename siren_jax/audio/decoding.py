"""A sound file as mono at another rate, a block at a time.

Axis I: channels (in `Levels`, their mean comes last).
"""

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from siren_jax.audio import declared_lengths, mp3_frames, resample
from siren_jax.audio.declared_lengths import Length
from siren_jax.common import sniff
from siren_jax.common.errors import UserError

Resampler = Callable[[np.ndarray, int, int], np.ndarray]

RATES = (1000, 768000)  # accepted sample rates of files in Hz
_BLOCK = 1 << 20  # numbers, of all channels
_LARGEST = float(1 << 31)  # 32-bit integers as floats are read
_NO_LIMIT = (1 << 63) - 1  # libsndfile: the number of frames is not known
_NO_FILE = 7  # libsndfile's number of an error
_CANCELLED = 0.1  # of the power that unrelated channels have when mixed
_REMEDY = "save it as wav, flac, ogg or mp3"


class SoundFile(soundfile.SoundFile):
  """A sound file that is read once, from its start to its real end.

  `is_followed` says, after reading, whether other data follow the sound.
  """

  is_followed = False

  def __init__(self, path: Path, length: Length = Length()):
    self._path, self._view = path, None
    if length.start or length.patches:
      self._view = declared_lengths.View(path, length.start, length.patches)
    super().__init__(self._view or os.fsencode(path))

  def seekable(self) -> bool:
    """False: otherwise `read` would stop where the header says."""
    return False

  @property
  def known_frames(self) -> int:
    """Number of frames that libsndfile expects; 0: unknown."""
    return self.frames if self.frames < _NO_LIMIT else 0

  def blocks_SxI(self, promised: int) -> Iterator[np.ndarray]:
    """All samples as float32, in blocks that bound the memory.

    Data after the `promised` frames (0: unknown) are sound if their first frame
    can be decoded.
    """
    size, count = max(1, _BLOCK // self.channels), 0
    while True:
      left, is_end = promised - count, count == promised > 0
      num_frames = 1 if is_end else min(size, left) if left > 0 else size
      try:
        block_SxI = self.read(num_frames, "float32", always_2d=True)
      except soundfile.SoundFileError as error:
        if is_end:
          self.is_followed = True
          return
        if self._view and self._view.tell() == self._view.size:
          raise declared_lengths.truncated(self._path) from error
        raise
      if not len(block_SxI):
        return
      count += len(block_SxI)
      yield block_SxI


class Levels:
  """Levels of the channels of a recording, and of their mix."""

  def __init__(self, channels: int):
    self.channels = channels
    self.frames = 0
    # The last column is the mix.
    self._low_I = np.full(channels + 1, np.inf)
    self._high_I = np.full(channels + 1, -np.inf)
    self._sum_I = np.zeros(channels + 1)
    self._squares_I = np.zeros(channels + 1)

  def add(self, block_SxI: np.ndarray, mix_S: np.ndarray) -> None:
    """Adds a block."""
    all_IxS = np.vstack([block_SxI.T, mix_S], dtype=np.float64)
    self.frames += all_IxS.shape[1]
    self._low_I = np.minimum(self._low_I, all_IxS.min(axis=1))
    self._high_I = np.maximum(self._high_I, all_IxS.max(axis=1))
    self._sum_I += all_IxS.sum(axis=1)
    self._squares_I += np.einsum("is,is->i", all_IxS, all_IxS)

  @property
  def peak(self) -> float:
    """The highest peak of a channel, without its DC offset."""
    return float((self._high_I - self._low_I)[:-1].max() / 2)

  @property
  def peak_of_mix(self) -> float:
    """The highest absolute sample of the mix."""
    return float(max(self._high_I[-1], -self._low_I[-1]))

  @property
  def loudest(self) -> int:
    """The channel with the highest power."""
    return int(self._power_I[:-1].argmax())

  @property
  def cancel(self) -> bool:
    """Whether channels of opposite phase cancel when mixed."""
    channels_I, mix = self._power_I[:-1], self._power_I[-1]
    return bool(mix < _CANCELLED * channels_I.mean() / self.channels)

  @property
  def _power_I(self) -> np.ndarray:
    mean_I = self._sum_I / self.frames
    return np.maximum(0, self._squares_I / self.frames - mean_I**2)


@dataclasses.dataclass(frozen=True)
class Decoded:
  """A recording.

  Attributes:
    audio_S: mono, at the requested rate.
    levels: before resampling.
    rate: of the file, in Hz.
    notes: about its length.
  """

  audio_S: np.ndarray
  levels: Levels
  rate: int
  notes: tuple[str, ...]


def decode(
  path: Path,
  sample_rate: int,
  resampler: Resampler | None,
  max_seconds: float,
  channel: int | None = None,
) -> Decoded:
  """All of a file at `sample_rate`: the mean of its channels, or one of them.

  Raises:
    UserError: see `sound_files.read_audio`, except for silence.
  """
  with opened(path) as (file, length), contextlib.ExitStack() as stack:
    if file.format == "MP3":
      file, length = stack.enter_context(_counted(path, file))
    rate, promised = file.samplerate, _promised(path, file, length)
    _check_seconds(path, (promised or file.known_frames) / rate, max_seconds)
    levels = Levels(file.channels)
    # Other resamplers need all of the sound at once.
    convert = _converter(rate, sample_rate if resampler is None else rate)
    pieces = []
    for mix_S in _mixed(path, file, levels, promised, channel):
      _check_seconds(path, levels.frames / rate, max_seconds)
      pieces.append(convert(mix_S))
  if levels.frames < promised:
    raise declared_lengths.truncated(path)
  if not levels.frames:
    raise UserError(f"{path}: 0 samples; give a recording with sound in it")
  notes = list(length.notes)
  if levels.frames > promised > 0:
    notes.append(declared_lengths.WRONG)
  if file.is_followed:
    notes.append(declared_lengths.BEHIND)
  audio_S = np.concatenate([*pieces, convert(np.zeros(0, "f4"), last=True)])
  if resampler is not None and rate != sample_rate:
    audio_S = resampler(audio_S, rate, sample_rate)
  return Decoded(audio_S, levels, rate, tuple(notes))


def _mixed(
  path: Path,
  file: SoundFile,
  levels: Levels,
  promised: int,
  channel: int | None,
) -> Iterator[np.ndarray]:
  """Blocks of the mean of all channels, or of one; updates `levels`."""
  for block_SxI in file.blocks_SxI(promised):
    if not (np.abs(block_SxI) <= _LARGEST).all():
      raise UserError(
        f"{path}: samples that are NaN, infinite or beyond {_LARGEST:g};"
        " export the file again"
      )
    mix_S = block_SxI.mean(1) if channel is None else block_SxI[:, channel]
    levels.add(block_SxI, mix_S)
    yield np.ascontiguousarray(mix_S)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[SoundFile, Length]]:
  """Opens a sound file; its errors become UserErrors."""
  try:
    _check_path(path)
    length = declared_lengths.check(path)
    with SoundFile(path, length) as file:
      if file.format == "RAW":  # a guess from the suffix, as for .au and .vox
        raise UserError(_unreadable(path, "Format not recognised"))
      if not RATES[0] <= file.samplerate <= RATES[1]:
        raise UserError(
          f"{path}: sample rate {file.samplerate} Hz, outside {RATES[0]} to"
          f" {RATES[1]}; export the file again"
        )
      yield file, length
  except (soundfile.SoundFileError, OSError) as error:
    raise UserError(_unreadable(path, reason(error))) from error


def _check_path(path: Path) -> None:
  if path.is_dir():
    raise UserError(f"{path}: is a folder; give a sound file")
  if not path.exists():
    raise UserError(f"{path}: no such file; check the path")
  if not path.is_file():  # a pipe would block
    raise UserError(f"{path}: not a regular file; save the sound to a file")
  if path.suffix.lower() == ".raw":
    raise UserError(f"{path}: has no header; {_REMEDY}")


def reason(error: Exception) -> str:
  """The error's message, without the path and prefix added by libraries."""
  if isinstance(error, OSError):
    return error.strerror or str(error)
  if getattr(error, "code", None) == _NO_FILE:  # also raised for existing files
    return "no sound that can be decoded"
  return getattr(error, "error_string", str(error)).strip(". ")


def _unreadable(path: Path, why: str) -> str:
  kind = sniff.describe(path)
  if kind:
    return f"{path}: cannot be read as audio; it is {kind}"
  return f"{path}: cannot be read as audio ({why}); {_REMEDY}"


@contextlib.contextmanager
def _counted(path: Path, file: SoundFile) -> Iterator[tuple[SoundFile, Length]]:
  """An MP3 file with its frame count corrected."""
  stream = mp3_frames.scan(path)
  if stream is None or stream.fits(file.frames):
    yield file, Length()
    return
  notes: tuple[str, ...] = (declared_lengths.WRONG,)
  if stream.promised is None:
    notes = (declared_lengths.UNKNOWN,)
  if stream.is_cut:
    notes += (declared_lengths.NO_END,)
  with mp3_frames.counted(path, stream) as copy, SoundFile(Path(copy)) as file:
    yield file, Length(frames=0, notes=notes)


def _promised(path: Path, file: SoundFile, length: Length) -> int:
  """Number of declared frames; 0: the header does not say."""
  if length.frames is not None:
    return length.frames
  return declared_lengths.promised(path, file.format) or file.known_frames


def _converter(rate: int, new_rate: int) -> Callable[..., np.ndarray]:
  """`resample.resample_soxr` block by block, with bit-identical results."""
  if rate == new_rate:
    return lambda audio_S, last=False: audio_S
  return resample.soxr_stream(rate, new_rate)


def _check_seconds(path: Path, seconds: float, limit: float) -> None:
  if seconds > limit:
    shown = math.ceil(10 * seconds) / 10  # never rounded down to the limit
    raise UserError(
      f"{path}: {shown:.9g} s long, but the limit is {limit:g} s; split it into"
      " shorter files"
    )
