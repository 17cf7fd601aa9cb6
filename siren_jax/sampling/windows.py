"""Sounds of any length: windows as long as what the model was trained on.

One rule says where a window begins, whatever was drawn before and whatever was
given: the first at frame 0; when a window is full, its last half begins the
next one, as if the sound began there.
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
  """A window of a sound; numbers of frames.

  Attributes:
    first: where it begins.
    begin, end: what is drawn in it; the frames from `first` to `begin` are
      known.
  """

  first: int
  begin: int
  end: int


def windows(length: int, begin: int, end: int | None) -> Iterator[Window]:
  """The windows of `length` frames in which frames `begin` to `end` are drawn.

  Without an end they do not end.
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

  The programs depend on the length of windows, not on how many frames are
  drawn or known.

  Args:
    prompted: of `prepare`. keys_B: one random key a row.
    length: of all windows.
    window: which frames.
    prefix_BxNxT: codes of the frames before `window.begin`; the last of them
      are enough.
    kept: codes of the frames to draw that are given.
    chunk: frames drawn at a time; those beyond the window's end are in vain.

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
    # The devices draw the next chunk while the host has this one decoded.
    if last is not None:
      yield jax.device_get(last)
    last = samples
  if last is not None:
    codes, log_probs = jax.device_get(last)
    left = frames - chunk * ((frames - 1) // chunk)
    yield Samples(codes[..., :left], log_probs[..., :left])
