"""Reading and writing of sound files."""

import os
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import soundfile

from siren_jax.audio import decoding
from siren_jax.audio.decoding import Resampler
from siren_jax.audio.loudness import Samples
from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.common.files import replacing

# Suffixes of the formats of libsndfile, except for headerless files (RAW) and
# formats that rarely hold sound (MAT, HTK).
_SUFFIXES = {
  "WAV": (".wav", ".wave", ".bwf"),
  "FLAC": (".flac",),
  "OGG": (".ogg", ".oga", ".opus"),
  "MP3": (".mp3", ".mp2", ".mp1", ".mpa", ".mpga", ".m2a"),
  "AIFF": (".aif", ".aiff", ".aifc"),
  "AU": (".au", ".snd"),
  "AVR": (".avr",),
  "CAF": (".caf",),
  "IRCAM": (".sf", ".ircam"),
  "NIST": (".nist", ".sph"),
  "PAF": (".paf",),
  "PVF": (".pvf",),
  "RF64": (".rf64",),
  "SD2": (".sd2",),
  "SDS": (".sds",),
  "SVX": (".svx", ".8svx", ".iff"),
  "VOC": (".voc",),
  "W64": (".w64",),
  "WVE": (".wve",),
  "XI": (".xi",),
}
SUFFIXES = tuple(
  suffix
  for name, suffixes in _SUFFIXES.items()
  if name in soundfile.available_formats()
  for suffix in suffixes
)
# What `write_audio` writes: format and subtype of libsndfile.
WRITTEN = {
  ".wav": ("WAV", "PCM_16"),
  ".flac": ("FLAC", "PCM_16"),
  ".ogg": ("OGG", "VORBIS"),
  ".mp3": ("MP3", "MPEG_LAYER_III"),
}
SILENCE = 1e-4  # peak below which a recording counts as silent (-80 dBFS)
MAX_SECONDS = 3600.0  # of one recording

_WRITTEN_AT_ONCE = 1 << 16  # samples; larger blocks overflow libvorbis' stack


def read_audio(
  path: str | os.PathLike,
  sample_rate: int,
  resampler: Resampler | None = None,
  max_seconds: float = MAX_SECONDS,
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Reads a sound file as mono at `sample_rate`.

  The format is determined by the content, not the suffix. A file is read to its
  real end (`declared_lengths.check` defines truncated files). Channels are
  averaged; if they cancel each other, the loudest is kept. Samples beyond full
  scale are scaled down.

  Args:
    resampler: instead of soxr's, such as `resample.resample`.
    max_seconds: longer recordings are refused before they take memory.

  Returns:
    audio_S float32, and one note for each change, such as
    "resampled 44100 -> 16000 Hz" or "2 channels mixed down".

  Raises:
    UserError: the file is missing, not audio, truncated, too long, empty,
      silent in every channel, or has NaN or infinite samples.
  """
  path = paths.local(path)
  sound = decoding.decode(path, sample_rate, resampler, max_seconds)
  levels, notes = sound.levels, list(sound.notes)
  if not sound.audio_S.size:
    raise UserError(f"{path}: shorter than one sample at {sample_rate} Hz")
  if levels.peak < SILENCE:
    raise UserError(
      f"{path}: silent (peak {levels.peak:.1g}, limit {SILENCE:g});"
      " give a recording with sound in it"
    )
  if levels.cancel:
    best = levels.loudest
    notes.append(
      f"channels cancel each other, only channel {best + 1} of"
      f" {levels.channels} kept"
    )
    sound = decoding.decode(path, sample_rate, resampler, max_seconds, best)
  elif levels.channels > 1:
    notes.append(f"{levels.channels} channels mixed down")
  if sound.rate != sample_rate:
    notes.append(f"resampled {sound.rate} -> {sample_rate} Hz")
  audio_S, peak = sound.audio_S, sound.levels.peak_of_mix
  if peak > 1:
    notes.append("samples beyond full scale, whole sound scaled down to fit")
    audio_S = audio_S / np.float32(peak)
  return audio_S, tuple(notes)


def file_rate(path: str | os.PathLike) -> int:
  """Sample rate of a sound file, in Hz.

  Raises:
    UserError: the file is missing, not audio, or its rate is out of range.
  """
  with decoding.opened(paths.local(path)) as (file, _):
    return file.samplerate


def write_audio(
  path: str | os.PathLike, sound: Samples, sample_rate: int
) -> tuple[str, ...]:
  """Writes mono floats in [-1, 1], atomically.

  The suffix sets the format: 16-bit .wav and .flac, .ogg (Vorbis), .mp3. A
  sound on disk is read block by block.

  Returns:
    A note if samples beyond full scale were clipped.

  Raises:
    UserError: the suffix or, for its format, the sample rate is not supported,
      the file cannot be written, or samples are not finite.
  """
  path = paths.local(path)
  if path.suffix.lower() not in WRITTEN:
    raise UserError(
      f"{path}: cannot write {path.suffix or 'a file without a suffix'};"
      f" choose {', '.join(WRITTEN)}"
    )
  kind, subtype = WRITTEN[path.suffix.lower()]
  clipped = 0
  with replacing(path) as file:
    target = _Target(file)
    try:
      with soundfile.SoundFile(
        target, "w", sample_rate, 1, subtype, format=kind
      ) as encoder:
        for start in range(0, len(sound), _WRITTEN_AT_ONCE):
          audio_S = sound[start : start + _WRITTEN_AT_ONCE]
          if not np.isfinite(audio_S).all():
            raise UserError(f"{path}: NaN or infinite samples; nothing written")
          clipped += int((np.abs(audio_S) > 1).sum())
          encoder.write(np.clip(audio_S, -1.0, 1.0))
          target.check()
      target.check()
    except soundfile.SoundFileError as error:
      target.check()
      raise UserError(
        f"{path}: {kind} cannot store audio at {sample_rate} Hz"
        f" ({decoding.reason(error)}); choose .wav"
      ) from error
  return (f"{clipped} samples beyond full scale clipped",) if clipped else ()


class _Target:
  """A file for libsndfile that records write errors, which it would hide."""

  def __init__(self, file: BinaryIO):
    self._file = file
    self._error: OSError | None = None

  def write(self, data: bytes) -> int:
    self._attempt(self._file.write, data)
    return len(data)  # so that `check` reports the error, not soundfile

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    return self._attempt(self._file.seek, offset, whence)

  def tell(self) -> int:
    return self._attempt(self._file.tell)

  def check(self) -> None:
    """Raises the first error, if there was one."""
    if self._error:
      raise self._error

  def _attempt(self, call: Callable[..., int], *args: Any) -> int:
    try:
      return call(*args)
    except OSError as error:
      self._error = self._error or error
      return 0
