"""Sounds that lie on disk while they are made."""

import errno
import os
import tracemalloc

import numpy as np
import pytest

from siren_jax.audio import disk_sound, loudness, sound_files
from siren_jax.common.errors import UserError

RATE = 16000


def chunks(seconds):
  """Noise with peaks that are turned down, a second at a time."""
  for second in range(seconds):
    noise_S = np.random.default_rng(second).normal(0, 0.05, RATE)
    noise_S[::5000] *= 30
    yield noise_S.astype("f4")


def test_a_sound_on_disk_is_read_as_an_array(tmp_path):
  audio_S = np.concatenate(list(chunks(3)))
  with disk_sound.temporary(tmp_path / "new" / "x.wav") as sound:
    assert not any(tmp_path.iterdir())  # neither a name nor a folder
    assert len(sound) == 0 and not sound[:].size
    for chunk_S in chunks(3):
      sound.append(chunk_S)
      sound[5:9]  # Reading moves no place to write.
    assert len(sound) == len(audio_S)
    for span in (slice(None), slice(7, 40000), slice(-9, None), slice(9, 3)):
      np.testing.assert_array_equal(sound[span], audio_S[span])


def test_samples_that_are_no_numbers_are_refused(tmp_path):
  with disk_sound.temporary(tmp_path / "x.wav") as sound:
    with pytest.raises(UserError, match=r"x\.wav: NaN or infinite"):
      sound.append(np.array([0, np.nan], "f4"))


def test_a_full_disk_is_named(tmp_path):
  with pytest.raises(UserError, match=r"x\.wav: cannot write.*free space"):
    with disk_sound.temporary(tmp_path / "x.wav"):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_disk_and_memory_give_the_same_file(tmp_path, suffix):
  in_memory, on_disk = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
  audio_S = loudness.level(np.concatenate(list(chunks(9))), RATE)
  sound_files.write_audio(in_memory, audio_S, RATE)
  with disk_sound.temporary(on_disk) as sound:
    for chunk_S in chunks(9):
      sound.append(chunk_S)
    sound_files.write_audio(on_disk, loudness.levelled(sound, RATE), RATE)
  assert on_disk.read_bytes() == in_memory.read_bytes()


def _peak_memory(path, seconds):
  tracemalloc.start()
  try:
    with disk_sound.temporary(path) as sound:
      for chunk_S in chunks(seconds):
        sound.append(chunk_S)
      sound_files.write_audio(path, loudness.levelled(sound, RATE), RATE)
    return tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


def test_memory_does_not_grow_with_the_length(tmp_path):
  """A minute more, of 4 MB, takes no tenth of that."""
  _peak_memory(tmp_path / "first.wav", 1)  # imports
  short, long = (_peak_memory(tmp_path / "x.wav", s) for s in (20, 80))
  assert long < short + 4e5
