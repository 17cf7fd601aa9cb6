"""Sound files in and out."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from siren_jax.common.errors import UserError
from siren_jax.common.files import replacing

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
_RATES = (1000, 768000)  # Hz, of files worth reading
_BLOCK = 1 << 20  # samples
SILENCE = 1e-4  # peak below which a recording counts as silent (-80 dBFS)


def read_audio(
  path: str | os.PathLike,
  sample_rate: int,
  resampler: Callable[[np.ndarray, int, int], np.ndarray] | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Reads a sound file as mono at `sample_rate`.

  Args:
    resampler: in place of `resample`.

  Returns:
    audio_S float32, and one note for each change that was made, such as
    "resampled 44100 -> 16000 Hz" or "2 channels mixed down".

  Raises:
    UserError: the file is missing, no audio, truncated, empty, silent, or
      holds NaN or infinite samples.
  """
  audio_CxS, file_rate = _decode(Path(path))
  if not audio_CxS.size:
    raise UserError(f"{path}: 0 samples; give a recording with sound in it")
  if not np.isfinite(audio_CxS).all():
    raise UserError(f"{path}: NaN or infinite samples; export the file again")
  notes = []
  channels = audio_CxS.shape[0]
  if channels > 1:
    notes.append(f"{channels} channels mixed down")
  audio_S = audio_CxS.mean(axis=0)
  peak = float(np.abs(audio_S).max())
  if peak < SILENCE:
    raise UserError(
      f"{path}: silent (peak {peak:.1g}, limit {SILENCE:g});"
      " give a recording with sound in it"
    )
  if file_rate != sample_rate:
    notes.append(f"resampled {file_rate} -> {sample_rate} Hz")
    audio_S = (resampler or resample)(audio_S, file_rate, sample_rate)
  if not audio_S.size:
    raise UserError(f"{path}: too short for a sample at {sample_rate} Hz")
  return audio_S, tuple(notes)


def resample(audio_S: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
  """Band-limited resampling (soxr, high quality), float32."""
  return soxr.resample(audio_S, rate, new_rate, quality="HQ")


def write_wav(
  path: str | os.PathLike, audio_S: np.ndarray, sample_rate: int
) -> None:
  """Writes mono floats in [-1, 1] as 16-bit PCM: all of the file or none.

  Raises:
    UserError: the place cannot be written to, or samples are not finite.
  """
  if not np.isfinite(audio_S).all():
    raise UserError(f"{path}: NaN or infinite samples; nothing written")
  buffer = io.BytesIO()  # libsndfile hides errors of the file it writes to
  soundfile.write(buffer, audio_S, sample_rate, "PCM_16", format="WAV")
  with replacing(path) as file:
    file.write(buffer.getbuffer())


def file_rate(path: str | os.PathLike) -> int:
  """Sample rate of a sound file, in Hz.

  Raises:
    UserError: the file is missing, no audio, or at a rate not worth reading.
  """
  with _opened(Path(path)) as file:
    return file.samplerate


def _decode(path: Path) -> tuple[np.ndarray, int]:
  """The whole file as float32 [channels, samples], and its rate."""
  with _opened(path) as file:
    expected, rate = file.frames, file.samplerate
    audio_SxC = _read_blocks(file)
  if len(audio_SxC) < expected or _wav_is_cut(path):
    raise UserError(f"{path}: truncated; copy or download the file again")
  return audio_SxC.T, rate


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
  """A sound file to read; what is wrong with it is a UserError."""
  if path.is_dir():
    raise UserError(f"{path}: is a folder; give a sound file")
  if not path.exists():
    raise UserError(f"{path}: no such file; check the path")
  try:
    with soundfile.SoundFile(path) as file:
      if not _RATES[0] <= file.samplerate <= _RATES[1]:
        raise UserError(
          f"{path}: sample rate {file.samplerate} Hz, outside {_RATES[0]} to"
          f" {_RATES[1]}; export the file again"
        )
      yield file
  except (soundfile.SoundFileError, OSError) as error:
    raise UserError(
      f"{path}: cannot be read as audio ({_reason(error)}); supported:"
      f" {', '.join(s[1:] for s in SUFFIXES)}"
    ) from error


def _read_blocks(file: soundfile.SoundFile) -> np.ndarray:
  """All samples; a header that promises too many costs no memory."""
  blocks = [np.zeros((0, file.channels), "f4")]
  while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
    blocks.append(block)
  return np.concatenate(blocks)


def _wav_is_cut(path: Path) -> bool:
  """Whether a RIFF header promises more bytes than the file has.

  libsndfile reads such a file without a word. Programs that write to a pipe
  leave 0 or the largest number there: no promise.
  """
  with path.open("rb") as file:
    head = file.read(8)
  if head[:4] != b"RIFF":
    return False
  promised = int.from_bytes(head[4:8], "little")
  return 0 < promised < 0xFFFFFF00 and promised + 8 > path.stat().st_size


def _reason(error: Exception) -> str:
  """What went wrong, without the path and prefix that libraries put on."""
  if isinstance(error, OSError):
    return error.strerror or str(error)
  return getattr(error, "error_string", str(error)).strip(". ")
