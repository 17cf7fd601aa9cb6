"""Wav files of unknown length."""

import io

import numpy as np
import pytest

from siren_jax.audio import sound_files, wav_stream

RATE = 16000


def chunks():
  rng = np.random.default_rng(0)
  return [rng.uniform(-1, 1, n).astype("f4") for n in (1, 1280, 999, 4000)]


def test_it_holds_what_a_file_holds(tmp_path):
  path = tmp_path / "x.wav"
  with path.open("wb") as file:
    wav_stream.write(file, chunks(), RATE)
  sound_files.write_audio(tmp_path / "y.wav", np.concatenate(chunks()), RATE)
  streamed_S, _ = sound_files.read_audio(path, RATE)
  written_S, _ = sound_files.read_audio(tmp_path / "y.wav", RATE)
  np.testing.assert_array_equal(streamed_S, written_S)


def test_every_chunk_is_out_before_the_next_is_made():
  file = io.BufferedWriter(raw := io.BytesIO(), 1 << 20)
  sizes = []

  def watched():
    for chunk_S in chunks():
      sizes.append(raw.tell())
      yield chunk_S

  wav_stream.write(file, watched(), RATE)
  assert sizes == [44, 46, 46 + 2560, 46 + 2560 + 1998]


def test_a_pipe_that_is_closed_raises(tmp_path):
  class Closed(io.BytesIO):
    def flush(self):
      raise BrokenPipeError

  with pytest.raises(BrokenPipeError):
    wav_stream.write(Closed(), chunks(), RATE)
