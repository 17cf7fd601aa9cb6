"""Whatever a header says: the right length, or one line; memory is bounded."""

import functools
import pathlib
import tempfile
import tracemalloc

import hypothesis
import numpy as np
import pytest
import soundfile
from hypothesis import strategies as st

from siren_jax.audio import declared_lengths as lengths
from siren_jax.audio import sound_files
from siren_jax.common.errors import UserError

RATE = 16000
SIZE = 16000
PADDING = 3  # samples: so much may fill up a chunk
MOST_MEMORY = 64 << 20  # bytes
# Order of the bytes of the lengths in a header; place and width of each.
LENGTHS = {
  "WAV": ("little", [(4, 4), (40, 4)]),
  "RF64": ("little", [(20, 8), (28, 8), (36, 8)]),
  "W64": ("little", [(16, 8), (96, 8)]),
  "AIFF": ("big", [(4, 4), (22, 4), (42, 4)]),
  "AU": ("big", [(8, 4)]),
  "CAF": ("big", [(4084, 8)]),
  "FLAC": ("big", [(22, 4)]),
}


@functools.cache
def whole(kind):
  """The bytes of noise in a format."""
  noise_S = 0.1 * np.random.default_rng(0).standard_normal(SIZE)
  with tempfile.NamedTemporaryFile() as file:
    soundfile.write(file.name, noise_S, RATE, format=kind)
    return pathlib.Path(file.name).read_bytes()


def read(content):
  """Length and notes, or None where the file is refused; looks at memory."""
  with tempfile.NamedTemporaryFile(suffix=".wav") as file:
    pathlib.Path(file.name).write_bytes(content)
    tracemalloc.start()
    try:
      audio_S, notes = sound_files.read_audio(file.name, RATE)
      return audio_S.size, notes
    except UserError as error:
      message = str(error)
      assert file.name in message and len(message.splitlines()) == 1
      return None
    finally:
      peak = tracemalloc.get_traced_memory()[1]
      tracemalloc.stop()
      assert peak < MOST_MEMORY


@pytest.mark.parametrize("kind", LENGTHS)
@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(data=st.data())
def test_any_length_in_a_header(kind, data):
  content = bytearray(whole(kind))
  order, places = LENGTHS[kind]
  for place, width in places:
    right = int.from_bytes(content[place : place + width], order)
    size = data.draw(
      st.one_of(
        st.just(right),
        st.integers(right - 200, right + 200),
        st.integers(0, (1 << 8 * width) - 1),
        st.integers(0, 8 * SIZE),
      )
    )
    size = min(max(0, size), (1 << 8 * width) - 1)
    content[place : place + width] = size.to_bytes(width, order)
  result = read(content)
  if result is not None:
    # Lengths that agree with each other are believed, with a note.
    size, notes = result
    assert SIZE - PADDING <= size <= SIZE or lengths.BEHIND in notes, result


@pytest.mark.parametrize("kind", [*LENGTHS, "OGG", "MP3"])
@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(data=st.data())
def test_any_change_of_a_file(kind, data):
  content = bytearray(whole(kind))
  for _ in range(data.draw(st.integers(1, 6))):
    place = data.draw(st.integers(0, min(len(content), 200) - 1))
    content[place] = data.draw(st.integers(0, 255))
  cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
  read(content[:cut])
