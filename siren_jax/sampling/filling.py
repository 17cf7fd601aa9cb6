"""Filling a hole in a sound so that it fits what follows.

A causal model cannot see what follows. So several fills are drawn, and the one
is kept that makes the following codes most likely, teacher-forced, under all
experts, with the sampler's state. With a prompt, the CLAP score counts too (our
design).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from siren_jax import codec
from siren_jax.codec import chunks
from siren_jax.common import mesh as meshes
from siren_jax.sampling.config import SamplingConfig
from siren_jax.sampling.generation import Models
from siren_jax.sampling.loop import Kept
from siren_jax.sampling.pieces import Request, clap_scores, prompt
from siren_jax.sampling.state import Prompted
from siren_jax.sampling.windows import draw, windows

FOLLOWING_SECONDS = 2.0  # after the hole, by which fills are scored
CLAP_WEIGHT = 0.5  # relative to the likelihood, both of variance one


class Filled(NamedTuple):
  """What `fill` returns.

  Attributes:
    audio_S: the whole sound with the kept fill.
    log_likelihood_G: mean log-probability of the following codes after each
      fill, in nats; zeros if none follow.
    clap_score_G: cosine of prompt and sound; zeros without a prompt.
    best: index of the kept fill.
  """

  audio_S: np.ndarray
  log_likelihood_G: np.ndarray
  clap_score_G: np.ndarray
  best: int


def fill(
  params: Mapping[str, Any],
  models: Models,
  request: Request,
  codes_NxT: np.ndarray,
  window_length: int,
) -> Filled:
  """Regenerates frames `request.begin` to `request.end` of a sound.

  Args:
    params, models, window_length: see `pieces.pieces`.
    request: for one sound; its candidates are the fills, its prefix the codes
      before the hole.
    codes_NxT: of the whole sound.
  """
  tower = codec.Codec(models.codec, params["codec"])
  begin, end, group = request.begin, request.end, request.num_candidates
  assert end is not None
  prompted, target_1xE = prompt(params, models, request)
  keys_G = request.keys_R
  drawn_GxNxT = np.repeat(codes_NxT[None, :, :begin], group, 0)
  for window in windows(window_length, begin, end):
    for samples in draw(prompted, keys_G, window_length, window, drawn_GxNxT):
      drawn_GxNxT = np.concatenate([drawn_GxNxT, samples.codes_BxNxT], 2)
  frames = round(FOLLOWING_SECONDS * models.codec.frame_rate)
  following_NxT = codes_NxT[:, end : end + frames]
  likelihood_G = _log_likelihood(
    prompted, keys_G, window_length, drawn_GxNxT, following_NxT
  )
  score_G = np.zeros(group)
  if request.ids_BxP is not None:
    first = max(0, begin - (window_length - (end - begin)) // 2)
    around = np.repeat(following_NxT[None], group, 0)
    around = np.concatenate([drawn_GxNxT[..., first:], around], 2)
    audio_GxS = chunks.decode(tower, around[..., :window_length], window_length)
    score_1xG, _ = clap_scores(
      params, models, audio_GxS, target_1xE, window_length
    )
    score_G = score_1xG[0]
  fit_G = _standard(likelihood_G) + CLAP_WEIGHT * _standard(score_G)
  best = int(np.argmax(fit_G))
  whole_1xNxT = np.concatenate([drawn_GxNxT[best], codes_NxT[:, end:]], 1)[None]
  audio_S = chunks.decode(tower, whole_1xNxT, window_length)[0]
  return Filled(audio_S, likelihood_G, score_G, best)


def _log_likelihood(
  prompted: Prompted,
  keys_G: jax.Array,
  length: int,
  drawn_GxNxT: np.ndarray,
  following_NxT: np.ndarray,
) -> np.ndarray:
  """Mean log-probability [G] of the following codes, unmodified by settings."""
  guidance = None if prompted.method.guidance is None else 1.0
  method = meshes.put(SamplingConfig(guidance=guidance))
  plain = dataclasses.replace(prompted, method=method)
  group, num_codebooks, begin = drawn_GxNxT.shape
  end = begin + following_NxT.shape[1]
  following = np.broadcast_to(following_NxT, (group, *following_NxT.shape))
  codes = np.concatenate([drawn_GxNxT, following], 2)
  total_G, count = np.zeros(group), max(1, following_NxT.size)
  for window in windows(length, begin, end):
    kept = Kept(codes[..., window.begin : window.end], np.int32(num_codebooks))
    before = codes[..., : window.begin]
    for samples in draw(plain, keys_G, length, window, before, kept):
      total_G += samples.log_probs_BxNxT.sum((1, 2))
  return total_G / count


def _standard(values_G: np.ndarray) -> np.ndarray:
  """Standardised to mean zero and variance one; zeros if all are equal."""
  return (values_G - values_G.mean()) / (values_G.std() + 1e-9)
