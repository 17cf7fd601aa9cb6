"""Text to audio as one pure function: text tower, sampler, codec."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from siren_jax import clap, codec
from siren_jax.codec.config import CodecConfig
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.execution import Execution
from siren_jax.sampling.config import SamplingConfig
from siren_jax.sampling.loop import Samples, sample


class Models(NamedTuple):
  """Configs of the models and their execution; static under jit."""

  clap: clap.Config
  experts: ExpertConfig
  codec: CodecConfig
  execution: Execution = Execution()


class Generated(NamedTuple):
  """Result of `generate`; the G sounds of a prompt are adjacent rows.

  Attributes:
    prompt_BxPxC, prompt_mask_BxP: input of the experts, B = prompts x G.
    text_BxE: CLAP embedding of the prompt.
    samples: codes and their log-probs.
    audio_BxS: the codes decoded; not clipped, so it may exceed [-1, 1].
  """

  prompt_BxPxC: jax.Array
  prompt_mask_BxP: jax.Array
  text_BxE: jax.Array
  samples: Samples
  audio_BxS: jax.Array


def generate(
  params: Mapping[str, Any],
  models: Models,
  sampling: SamplingConfig,
  ids_QxP: jax.Array,
  mask_QxP: jax.Array,
  keys_QxG: jax.Array,
  num_frames: int,
) -> Generated:
  """Draws G sounds for each of Q tokenized prompts.

  Args:
    params: of each part of `models`, by name.
    keys_QxG: one random key per sound; a sound depends on its own prompt and
      key only.
    num_frames: codec frames of each sound.
  """
  tokens_QxPxC, text_QxE = clap.encode_text(
    params["clap"], models.clap, ids_QxP, mask_QxP
  )
  prompt, mask, text = (
    jnp.repeat(x, keys_QxG.shape[1], axis=0)
    for x in (tokens_QxPxC, mask_QxP, text_QxE)
  )
  samples = sample(
    params["experts"],
    models.experts,
    sampling,
    prompt,
    mask,
    keys_QxG.reshape(-1),
    num_frames,
    execution=models.execution,
  )
  audio = codec.decode(params["codec"], models.codec, samples.codes_BxNxT)
  return Generated(prompt, mask, text, samples, audio)
