"""Sounds of any length in windows of one length: the same codes and audio.

A window reaches beyond its share by as many frames as a frame's result
depends on, so nothing is lost at the seams; memory does not grow with length,
and one program serves all windows.
"""

from collections.abc import Iterable, Iterator

import jax
import numpy as np

from siren_jax.codec import model as codec_model
from siren_jax.codec.model import Codec

FRAMES = 250  # of a window's share: a short file takes no longer than that


def encode(
  codec: Codec, audio_BxS: np.ndarray, frames: int = FRAMES
) -> np.ndarray:
  """As `codec.encode`: codes [B, N, T] int32 of audio [B, S]."""
  hop = codec.config.hop
  total = -(-audio_BxS.shape[1] // hop)
  audio = np.pad(audio_BxS, ((0, 0), (0, total * hop - audio_BxS.shape[1])))
  reach = codec_model.module(codec.config).reach
  length = min(total, frames + 2 * reach)
  shares = []
  for first in range(0, total, frames):
    start = min(max(first - reach, 0), total - length)
    codes = codec.encode(audio[:, start * hop : (start + length) * hop])
    shares.append(np.asarray(codes)[..., first - start :][..., :frames])
  return np.concatenate(shares, -1)


def decode(
  codec: Codec, codes_BxNxT: np.ndarray, frames: int = FRAMES
) -> np.ndarray:
  """As `codec.decode`: audio [B, T * hop] of codes [B, N, T]."""
  return np.concatenate(list(stream_decode(codec, [codes_BxNxT], frames)), -1)


def stream_decode(
  codec: Codec, pieces: Iterable[np.ndarray | jax.Array], frames: int
) -> Iterator[np.ndarray]:
  """Audio of codes as they come: joined, it is that of `codec.decode`.

  One program serves, whatever the lengths of the sound and of the pieces.

  Args:
    pieces: codes [B, N, t], each of any number t of frames.
    frames: that are decoded at a time, beside those they depend on.

  Yields:
    Audio [B, frames * hop], as soon as its codes and the frames ahead that it
    depends on are there; when all codes are, the rest in one piece.
  """
  module = codec_model.module(codec.config)
  before, hop = module.look_back, codec.config.hop
  length = before + frames + module.look_ahead

  def decode_window(codes: np.ndarray, first: int, share: int) -> np.ndarray:
    window = np.pad(codes, ((0, 0), (0, 0), (0, length - codes.shape[2])))
    audio_BxS = codec.decode(window, first - before, received)
    return np.asarray(audio_BxS)[:, before * hop : (before + share) * hop]

  done = received = 0
  codes_BxNxT = None  # from `before` frames before frame `done` on
  for piece_BxNxT in pieces:
    piece = np.asarray(piece_BxNxT)
    received += piece.shape[2]
    if codes_BxNxT is None:
      codes_BxNxT = np.zeros((*piece.shape[:2], before), piece.dtype)
    codes_BxNxT = np.concatenate([codes_BxNxT, piece], 2)
    while codes_BxNxT.shape[2] >= length:
      yield decode_window(codes_BxNxT[..., :length], done, frames)
      codes_BxNxT = codes_BxNxT[..., frames:]
      done += frames
  if codes_BxNxT is not None and done < received:
    yield decode_window(codes_BxNxT, done, received - done)
