"""Sounds of any length, piece by piece: codes, the best of candidates, audio.

  prompt -> codes of a window (windows.py) -> audio (codec/chunks.py) -> choice

Several candidates are compared at the end of each window, and all continue from
the one that is kept. So memory does not grow with the length of a sound, and
all of a long sound is selected, not only its beginning.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax import clap, codec
from siren_jax.codec import chunks
from siren_jax.codec import model as codec_model
from siren_jax.common import mesh as meshes
from siren_jax.experts.ensemble import null_prompt
from siren_jax.sampling.config import SamplingConfig
from siren_jax.sampling.generation import Models
from siren_jax.sampling.loop import CHUNK, Kept, Samples
from siren_jax.sampling.state import Prompted, prepare
from siren_jax.sampling.windows import Window, draw, windows

FAINT = 0.01  # peak (-40 dBFS); quieter candidates are kept only if all are


@dataclasses.dataclass(frozen=True)
class Request:
  """A request to the sampler: G candidates for each of B sounds.

  Attributes:
    method: how codes are drawn.
    keys_BxG: one random key per candidate, which depends on its key, its prompt
      and the prefix only.
    begin: number of frames of the prefix.
    end: number of frames of the sounds; None: endless.
    ids_BxP, mask_BxP: tokenized prompts; None: no prompts.
    prefix_NxT: codes of the first `begin` frames, the same for all sounds.
    kept_NxT: codes of all frames; every sound keeps those of the first
      `num_kept` codebooks.
    target_E: CLAP embedding that sounds without a prompt should resemble.
  """

  method: SamplingConfig
  keys_BxG: jax.Array
  end: int | None
  begin: int = 0
  ids_BxP: np.ndarray | None = None
  mask_BxP: np.ndarray | None = None
  prefix_NxT: np.ndarray | None = None
  kept_NxT: np.ndarray | None = None
  num_kept: int = 0
  target_E: np.ndarray | None = None

  @property
  def num_candidates(self) -> int:
    """G."""
    return self.keys_BxG.shape[1]

  @property
  def keys_R(self) -> jax.Array:
    """The keys, row by row, R = B x G, on the devices that draw."""
    return meshes.put(self.keys_BxG).reshape(-1)


class Piece(NamedTuple):
  """The next samples of every sound.

  Attributes:
    audio_BxS: float32, output of the codec.
    score_B: CLAP scores of the kept candidates, at the end of a window; None
      with a single candidate.
  """

  audio_BxS: np.ndarray
  score_B: np.ndarray | None = None


def pieces(
  params: Mapping[str, Any],
  models: Models,
  request: Request,
  window_length: int,
  share: int,
  chunk: int = CHUNK,
  on_frames: Callable[[int], None] = lambda count: None,
) -> Iterator[Piece]:
  """Draws sounds; the pieces start at frame 0 of the prefix.

  Args:
    params: of "clap" and "codec", and the `Weights` of "experts".
    request: what to draw.
    window_length: number of frames that the experts were trained on.
    share: frames decoded at a time.
    chunk: frames drawn at a time.
    on_frames: called with the number of frames after each draw.

  Yields:
    Pieces of any length, even zero: with one candidate as soon as they can be
    decoded, otherwise at the end of each window.
  """
  tower = codec.Codec(models.codec, params["codec"])
  group = request.num_candidates
  prompted, target_BxE = prompt(params, models, request)
  keys_R, count = request.keys_R, request.keys_BxG.size
  codes_so_far = _repeat(request.prefix_NxT, count, models)
  decoding = chunks.start(tower, count)
  decoding, audio_RxS = chunks.push(tower, decoding, codes_so_far, share)
  decoding, rest_RxS = chunks.flush(tower, decoding, share)
  pending_RxS = np.concatenate([audio_RxS, rest_RxS], 1)
  # Of the prefix, decoded with the first new codes.
  prefix_samples = request.begin * models.codec.hop - pending_RxS.shape[1]
  if codes_so_far.size:
    yield Piece(pending_RxS[::group])
  pending_RxS = pending_RxS[:, :0]
  for window in windows(window_length, request.begin, request.end):
    parts = []
    for samples in draw_window(
      prompted, keys_R, window_length, window, codes_so_far, request, chunk
    ):
      codes = np.asarray(samples.codes_BxNxT)
      codes_so_far = np.concatenate([codes_so_far, codes], 2)[
        ..., -window_length:
      ]
      decoding, audio_RxS = chunks.push(tower, decoding, codes, share)
      on_frames(codes.shape[2])
      if group == 1:
        yield Piece(audio_RxS)
      parts.append(audio_RxS)
    if window.end == request.end:
      parts.append(chunks.finish(tower, decoding, share))
    elif group > 1:
      decoding, rest_RxS = chunks.flush(tower, decoding, share)
      parts.append(rest_RxS)
    if group > 1:
      pending_RxS = np.concatenate([pending_RxS, *parts], 1)
      if pending_RxS.shape[1] <= prefix_samples:
        continue  # Nothing new has been decoded to choose by.
      new_RxS = pending_RxS[:, prefix_samples:]
      score_B, rows_B = _best(
        params, models, new_RxS, target_BxE, group, window_length
      )
      yield Piece(pending_RxS[rows_B], score_B)
      prefix_samples, pending_RxS = 0, pending_RxS[:, :0]
      rows_R = np.repeat(rows_B, group)
      codes_so_far, decoding = codes_so_far[rows_R], decoding.take(rows_R)
    elif window.end == request.end:
      yield Piece(parts[-1])


def draw_window(
  prompted: Prompted,
  keys_R: jax.Array,
  length: int,
  window: Window,
  prefix_RxNxT: np.ndarray,
  request: Request,
  chunk: int,
) -> Iterator[Samples]:
  """`windows.draw` for a request."""
  kept = None
  if request.kept_NxT is not None:
    codes_NxT = request.kept_NxT[:, window.begin : window.end]
    codes = np.broadcast_to(codes_NxT, (len(prefix_RxNxT), *codes_NxT.shape))
    kept = Kept(codes, np.int32(request.num_kept))
  return draw(prompted, keys_R, length, window, prefix_RxNxT, kept, chunk)


def prompt(
  params: Mapping[str, Any], models: Models, request: Request
) -> tuple[Prompted, jax.Array]:
  """The experts with the prompts of a request, B x G rows, and targets [B, E].

  Args: see `pieces`.
  """
  batch, group = request.keys_BxG.shape
  tokens_RxPxC, mask_RxP, target_BxE = _prompts(
    params["clap"], *meshes.put((request.ids_BxP, request.mask_BxP)),
    models=models, batch=batch, candidates=group,
  )  # fmt: skip
  if request.target_E is not None:
    target_E = meshes.put(request.target_E)
    target_BxE = jnp.broadcast_to(target_E, target_BxE.shape)
  method = meshes.put(request.method)
  prompted = prepare(params["experts"], method, tokens_RxPxC, mask_RxP)
  return prompted, target_BxE


@functools.partial(jax.jit, static_argnames=("models", "batch", "candidates"))
def _prompts(
  params: Any,
  ids_BxP: jax.Array | None,
  mask_BxP: jax.Array | None,
  *,
  models: Models,
  batch: int,
  candidates: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Tokens and mask of every row, and embeddings [B, E]; zeros for no words."""
  if ids_BxP is None or mask_BxP is None:
    nothing = jnp.zeros((batch, 1, models.experts.prompt_dim))
    tokens, mask_BxP = null_prompt(nothing, jnp.ones((batch, 1), bool))
    text_BxE = jnp.zeros((batch, models.clap.embed_dim))
  else:
    ids_BxP, mask_BxP = (
      meshes.constrain(x, "batch") for x in (ids_BxP, mask_BxP)
    )
    tokens, text_BxE = clap.encode_text(params, models.clap, ids_BxP, mask_BxP)
  tokens, mask = (jnp.repeat(x, candidates, 0) for x in (tokens, mask_BxP))
  return tokens, mask, text_BxE


def mean_scores(
  scores: Iterable[tuple[np.ndarray | None, int]],
) -> Iterable[float | None]:
  """Mean score over the windows of each sound; None without scores.

  Args:
    scores: of each piece, with its number of samples, which is its weight.
  """
  present = [(x_B, count) for x_B, count in scores if x_B is not None]
  if not present:
    return itertools.repeat(None)
  score_B, counts = zip(*present, strict=True)
  return np.average(score_B, 0, weights=counts).tolist()


@functools.partial(jax.jit, static_argnames="models")
def embed_audio(
  params: Any, audio_BxS: jax.Array, num_samples: jax.Array, *, models: Models
) -> jax.Array:
  """CLAP embeddings [B, E] of the codec's audio, see `clap.encode_audio`."""
  return clap.encode_audio(
    params, models.clap, audio_BxS, models.codec.sample_rate, num_samples
  )


def clap_scores(
  params: Mapping[str, Any],
  models: Models,
  audio_RxS: np.ndarray,
  target_BxE: jax.Array,
  window_length: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Cosines [B, G] with the targets, and the scores to select by."""
  size = audio_RxS.shape[1]
  # One program for all lengths; undecoded frames belong to the next window.
  after = codec_model.module(models.codec).look_ahead
  room = (window_length + after) * models.codec.hop
  padded = np.pad(audio_RxS, ((0, 0), (0, room - size)))
  sounds = meshes.put((padded, np.int32(size)))
  return jax.device_get(
    _scores(params["clap"], *sounds, target_BxE, models=models)
  )


def _best(
  params: Mapping[str, Any],
  models: Models,
  audio_RxS: np.ndarray,
  target_BxE: jax.Array,
  group: int,
  window_length: int,
) -> tuple[np.ndarray, np.ndarray]:
  """CLAP scores [B] of the kept candidates, and their rows [B]."""
  score_BxG, fit_BxG = clap_scores(
    params, models, audio_RxS, target_BxE, window_length
  )
  best_B = np.argmax(fit_BxG, 1)
  rows_B = np.arange(len(best_B)) * group + best_B
  return score_BxG.reshape(-1)[rows_B], rows_B


@functools.partial(jax.jit, static_argnames="models")
def _scores(
  params: Any,
  audio_RxS: jax.Array,
  num_samples: jax.Array,
  target_BxE: jax.Array,
  *,
  models: Models,
) -> tuple[jax.Array, jax.Array]:
  """Cosines [B, G] with the targets, and the scores to select by."""
  batch = len(target_BxE)
  audio_RxS = meshes.constrain(audio_RxS, "batch")
  audio_RxE = embed_audio(params, audio_RxS, num_samples, models=models)
  audio_BxGxE = audio_RxE.reshape(batch, -1, audio_RxE.shape[1])
  score_BxG = jnp.sum(target_BxE[:, None] * audio_BxGxE, -1)
  peak_BxG = jnp.max(jnp.abs(audio_RxS), -1).reshape(batch, -1)
  # A cosine is at least -1, so nearly silent candidates rank last.
  return score_BxG, score_BxG - 2 * (peak_BxG < FAINT)


def _repeat(
  prefix_NxT: np.ndarray | None, rows: int, models: Models
) -> np.ndarray:
  """The prefix of each row, [R, N, T]; T is 0 without a prefix."""
  if prefix_NxT is None:
    return np.zeros((rows, models.codec.num_codebooks, 0), np.int32)
  return np.repeat(prefix_NxT[None], rows, 0)
