"""Sounds of any length in windows of one length: the same codes and audio.

Windows overlap by as many frames as a frame's result depends on, so the seams
are exact. Memory does not grow with length, and one program serves all windows.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from siren_jax.codec import model as codec_model
from siren_jax.codec.model import Codec

FRAMES = 250  # of a window, without the overlap


def encode(
  codec: Codec, audio_BxS: np.ndarray, frames: int = FRAMES
) -> np.ndarray:
  """Codes [B, N, T] int32 of audio [B, S], as from `codec.encode`."""
  hop = codec.config.hop
  total = -(-audio_BxS.shape[1] // hop)
  audio = np.pad(audio_BxS, ((0, 0), (0, total * hop - audio_BxS.shape[1])))
  reach = codec_model.module(codec.config).reach
  length = min(total, frames + 2 * reach)
  shares = []
  for first in range(0, total, frames):
    start = min(max(first - reach, 0), total - length)
    codes = codec.encode(audio[:, start * hop : (start + length) * hop])
    shares.append(jax.device_get(codes)[..., first - start :][..., :frames])
  return np.concatenate(shares, -1)


def decode(
  codec: Codec, codes_BxNxT: np.ndarray, frames: int = FRAMES
) -> np.ndarray:
  """Audio [B, T * hop] of codes [B, N, T], as from `codec.decode`."""
  return np.concatenate(list(stream_decode(codec, [codes_BxNxT], frames)), -1)


def stream_decode(
  codec: Codec, pieces: Iterable[np.ndarray | jax.Array], frames: int
) -> Iterator[np.ndarray]:
  """Decodes a stream of codes; joined, its audio equals that of `codec.decode`.

  Args:
    pieces: codes [B, N, t], each of any number t of frames.
    frames: see `push`.

  Yields:
    Audio [B, frames * hop], or a multiple; finally the remainder.
  """
  state = None
  for piece_BxNxT in pieces:
    piece = jax.device_get(piece_BxNxT)
    state = start(codec, len(piece)) if state is None else state
    state, audio_BxS = push(codec, state, piece, frames)
    if audio_BxS.size:
      yield audio_BxS
  if state is not None:
    audio_BxS = finish(codec, state, frames)
    if audio_BxS.size:
      yield audio_BxS


class Decoding(NamedTuple):
  """State of the decoding of a stream of codes.

  Attributes:
    codes_BxNxT: codes that are still to be decoded, preceded by the codes that
      their audio depends on.
    first: number of the next frame to decode.
    phase_BxY: of the codec's voices in that frame; None: it has none.
  """

  codes_BxNxT: np.ndarray
  first: int
  phase_BxY: np.ndarray | None

  def after(self, frames: int, phase_BxY: np.ndarray | None) -> "Decoding":
    """The state after decoding `frames` frames."""
    return Decoding(
      self.codes_BxNxT[..., frames:], self.first + frames, phase_BxY
    )

  def take(self, rows_B: np.ndarray) -> "Decoding":
    """The state of these rows, which may repeat."""
    phase_BxY = self.phase_BxY
    return self._replace(
      codes_BxNxT=self.codes_BxNxT[rows_B],
      phase_BxY=None if phase_BxY is None else phase_BxY[rows_B],
    )


def start(codec: Codec, batch: int) -> Decoding:
  """Initial state, before the first codes."""
  module = codec_model.module(codec.config)
  shape = batch, codec.config.num_codebooks, module.look_back
  phase_BxY = module.first_phase
  if phase_BxY is not None:
    phase_BxY = np.tile(phase_BxY, (batch, 1))
  return Decoding(np.zeros(shape, np.int32), 0, phase_BxY)


def push(
  codec: Codec, state: Decoding, piece_BxNxT: np.ndarray, frames: int
) -> tuple[Decoding, np.ndarray]:
  """Takes the next codes and returns the audio that they complete.

  One program serves all lengths of sounds and pieces.

  Args:
    state: from `start` or `push`.
    piece_BxNxT: codes of any number of frames.
    frames: decoded at a time, not counting the overlap.

  Returns:
    The new state, and audio [B, S] of a multiple of `frames`: of all frames
    whose look-ahead is available.
  """
  codes = np.concatenate([state.codes_BxNxT, piece_BxNxT], 2)
  state, shares = state._replace(codes_BxNxT=codes), []
  while state.codes_BxNxT.shape[2] >= _window(codec, frames):
    state, audio_BxS = _decoded(codec, state, frames, frames)
    shares.append(audio_BxS)
  if not shares:
    return state, np.zeros((len(codes), 0), np.float32)
  return state, np.concatenate(shares, 1)


def flush(
  codec: Codec, state: Decoding, frames: int
) -> tuple[Decoding, np.ndarray]:
  """Audio [B, S] of remaining decodable frames, fewer than `frames`."""
  missing = _window(codec, frames) - state.codes_BxNxT.shape[2]
  ready = frames - missing
  if ready <= 0:
    return state, np.zeros((len(state.codes_BxNxT), 0), np.float32)
  return _decoded(codec, state, frames, ready)


def finish(codec: Codec, state: Decoding, frames: int) -> np.ndarray:
  """Audio [B, S] of all remaining frames, when no codes follow.

  Args:
    frames: see `push`; fewer than this plus the look-ahead remain.
  """
  before = codec_model.module(codec.config).look_back
  left = state.codes_BxNxT.shape[2] - before
  if not left:
    return np.zeros((len(state.codes_BxNxT), 0), np.float32)
  return _decoded(codec, state, frames, left)[1]


def _window(codec: Codec, frames: int) -> int:
  """Frames of the window that decodes `frames` frames."""
  module = codec_model.module(codec.config)
  return module.look_back + frames + module.look_ahead


def _decoded(
  codec: Codec, state: Decoding, frames: int, share: int
) -> tuple[Decoding, np.ndarray]:
  """Audio [B, share * hop] of the next frames, in a window for `frames`."""
  before = codec_model.module(codec.config).look_back
  length, hop = _window(codec, frames), codec.config.hop
  first = state.first - before
  received = first + state.codes_BxNxT.shape[2]
  window = state.codes_BxNxT[..., :length]
  missing = length - window.shape[2]
  window = np.pad(window, ((0, 0), (0, 0), (0, missing)))
  audio, phase_BxTxY = codec.decode_window(
    window, first, received, state.phase_BxY, before
  )
  if phase_BxTxY is None:
    phase_BxY = None
  else:
    phase_BxY = jax.device_get(phase_BxTxY[:, before + share])
  audio_BxS = jax.device_get(audio)[:, before * hop : (before + share) * hop]
  return state.after(share, phase_BxY), audio_BxS
