"""Streaming of WAV files of unknown length."""

import struct
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

# As FFmpeg writes to a pipe: players read until the end.
_UNKNOWN = 0xFFFFFFFF  # bytes
_FULL_SCALE = 1 << 15
_PCM, _CHANNELS, _WIDTH = 1, 1, 2  # bytes of a sample


def write(
  file: BinaryIO, chunks: Iterable[np.ndarray], sample_rate: int
) -> None:
  """Writes mono chunks audio_S of floats in [-1, 1] as 16 bits, immediately.

  Samples beyond full scale are clipped; `loudness.Limiter` avoids this.

  Raises:
    OSError: from the file; BrokenPipeError if its reader has closed it.
  """
  file.write(_header(sample_rate))
  file.flush()
  for audio_S in chunks:
    # Rounded down like libsndfile, so that a file has the same samples.
    steps_S = np.floor(_FULL_SCALE * np.asarray(audio_S, np.float32))
    pcm_S = np.clip(steps_S, -_FULL_SCALE, _FULL_SCALE - 1)
    file.write(pcm_S.astype("<i2").tobytes())
    file.flush()


def _header(sample_rate: int) -> bytes:
  rate_of_bytes = sample_rate * _CHANNELS * _WIDTH
  return struct.pack(
    "<4sI4s4sIHHIIHH4sI",
    *(b"RIFF", _UNKNOWN, b"WAVE", b"fmt ", 16, _PCM, _CHANNELS),
    *(sample_rate, rate_of_bytes, _CHANNELS * _WIDTH, 8 * _WIDTH),
    *(b"data", _UNKNOWN),
  )
