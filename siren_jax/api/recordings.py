"""Source recordings: their codes, and joints with generated sounds."""

from collections.abc import Iterable, Iterator

import numpy as np

from siren_jax.codec import chunks
from siren_jax.codec import model as codec_model
from siren_jax.codec.model import Codec
from siren_jax.sampling.pieces import Piece

FADE_SECONDS = 0.01  # crossfade of a joint


def codes_of(codec: Codec, audio_S: np.ndarray, share: int) -> np.ndarray:
  """Codes [N, T] of a recording, as if it continued.

  The recording is reflected at its end: with silence, the codes of the last
  frames would contain a fade-out, which continuations would follow.

  Args:
    share: frames encoded at a time; one program serves all lengths.
  """
  hop, reach = codec.config.hop, codec_model.module(codec.config).reach
  frames, window = -(-len(audio_S) // hop), share + 2 * reach
  padded = -(-(frames + reach) // window) * window
  after = padded * hop - len(audio_S)
  longer = np.pad(audio_S, (0, after), mode="symmetric")
  return chunks.encode(codec, longer[None], share)[0, :, :frames]


def joined(
  before_S: np.ndarray,
  pieces: Iterable[Piece],
  total: int | None,
  sample_rate: int,
) -> Iterator[Piece]:
  """Replaces the start of sounds, decoded codes, with the recording itself.

  The end of the recording is crossfaded into the sound over `FADE_SECONDS`.

  Args:
    before_S: the recording; empty for none.
    pieces: of the sounds, starting at the recording's first sample.
    total: samples to keep; None: all.
  """
  fade = min(round(FADE_SECONDS * sample_rate), len(before_S))
  joint = len(before_S) - fade
  done = 0
  for audio_BxS, score_B in pieces:
    end = done + audio_BxS.shape[1]
    audio_BxS = audio_BxS.copy()
    recording_S = before_S[done:end]
    phase_S = (np.arange(done, done + len(recording_S)) + 0.5 - joint) / max(
      fade, 1
    )
    audio_BxS[:, : len(recording_S)] = faded(
      recording_S, audio_BxS[:, : len(recording_S)], np.maximum(phase_S, 0)
    )
    keep = end - done if total is None else min(end, total) - done
    done = end
    if keep:
      yield Piece(audio_BxS[:, :keep], score_B)


def faded(
  before_S: np.ndarray, after_S: np.ndarray, phase_S: np.ndarray
) -> np.ndarray:
  """Equal-power crossfade from one sound to another; phase 0 to 1."""
  angle = np.pi / 2 * phase_S
  mixed_S = np.cos(angle) * before_S + np.sin(angle) * after_S
  return mixed_S.astype(np.float32)


def with_hole_filled(
  audio_S: np.ndarray,
  filled_S: np.ndarray,
  start: int,
  end: int,
  sample_rate: int,
) -> np.ndarray:
  """A recording with samples `start` to `end` replaced by those of `filled_S`.

  Crossfades of `FADE_SECONDS` lie on the recording's side of each joint.
  """
  fade = round(FADE_SECONDS * sample_rate)
  out_S = audio_S.copy()
  out_S[start:end] = filled_S[start:end]
  before = slice(max(0, start - fade), start)
  phase = 1 - (np.arange(start - before.start)[::-1] + 0.5) / fade
  out_S[before] = faded(audio_S[before], filled_S[before], phase)
  after = slice(end, min(len(audio_S), end + fade))
  phase = (np.arange(after.stop - after.start) + 0.5) / fade
  out_S[after] = faded(filled_S[after], audio_S[after], phase)
  return out_S
