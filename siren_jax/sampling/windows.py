"""Sounds of any length: windows as long as the training sounds.

Where windows begin does not depend on what was drawn or given: the first begins
at frame 0, and when a window is full, the next one begins with its last half,
as if the sound began there.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from siren_jax.common import mesh as meshes
from siren_jax.sampling.loop import CHUNK, Kept, Samples, advance
from siren_jax.sampling.prefill import prefill
from siren_jax.sampling.state import Prompted, start


class Window(NamedTuple):
  """A window of a sound, in frames.

  Attributes:
    first: start of the window.
    begin, end: frames drawn in it; those from `first` to `begin` are given.
  """

  first: int
  begin: int
  end: int


def windows(length: int, begin: int, end: int | None) -> Iterator[Window]:
  """The windows of `length` frames in which frames `begin` to `end` are drawn.

  With `end` None they are endless.
  """
  stride = length - length // 2
  while end is None or begin < end:
    first = stride * max(0, 1 + (begin - length) // stride)
    stop = first + length
    yield Window(first, begin, stop if end is None else min(stop, end))
    begin = stop


def draw(
  prompted: Prompted,
  keys_B: jax.Array,
  length: int,
  window: Window,
  prefix_BxNxT: np.ndarray,
  kept: Kept | None = None,
  chunk: int = CHUNK,
) -> Iterator[Samples]:
  """Draws the frames of a window, `chunk` or fewer at a time.

  The compiled programs depend on `length`, not on the number of frames drawn or
  given.

  Args:
    prompted: from `prepare`. keys_B: one random key per row.
    length: of all windows.
    window: the frames to draw.
    prefix_BxNxT: codes of the frames before `window.begin`, at least those
      within the window.
    kept: given codes of the frames to draw.
    chunk: frames drawn at a time; those beyond the window's end are discarded.

  Yields:
    Samples on the host.
  """
  state = start(prompted, length, meshes.put(np.int32(window.first)))
  count = window.begin - window.first
  if count:
    batch, num_codebooks, _ = prefix_BxNxT.shape
    codes = np.zeros((batch, num_codebooks, length), np.int32)
    codes[..., :count] = prefix_BxNxT[..., -count:]
    state = prefill(prompted, state, *meshes.put((codes, np.int32(count))))
  frames, last = window.end - window.begin, None
  for begin in range(0, frames, chunk):
    now = None
    if kept is not None:
      given = np.asarray(kept.codes_BxNxT)[..., begin : begin + chunk]
      missing = chunk - given.shape[2]
      given = np.pad(given, ((0, 0), (0, 0), (0, missing)))
      now = meshes.put(Kept(given, kept.num_codebooks))
    state, samples = advance(prompted, state, keys_B, now, num_frames=chunk)
    # The devices draw the next chunk while the host decodes this one.
    if last is not None:
      yield jax.device_get(last)
    last = samples
  if last is not None:
    codes, log_probs = jax.device_get(last)
    left = frames - chunk * ((frames - 1) // chunk)
    yield Samples(codes[..., :left], log_probs[..., :left])
