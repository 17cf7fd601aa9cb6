"""The sampler: from prompt tokens to codes, as set by `SamplingConfig`.

`generate` goes from text to audio; `score` computes log-probs of given codes.
"""

from siren_jax.sampling.config import (
  GenerateConfig,
  SamplingConfig,
  check_candidates,
)
from siren_jax.sampling.generation import Generated, Models, generate
from siren_jax.sampling.loop import CHUNK, Kept, Samples, advance, sample
from siren_jax.sampling.prefill import prefill
from siren_jax.sampling.scoring import Scores, score
from siren_jax.sampling.state import (
  Prompted,
  State,
  Weights,
  prepare,
  prepare_weights,
  start,
)

__all__ = [
  "CHUNK",
  "GenerateConfig",
  "Generated",
  "Kept",
  "Models",
  "Prompted",
  "Samples",
  "SamplingConfig",
  "Scores",
  "State",
  "Weights",
  "advance",
  "check_candidates",
  "generate",
  "prefill",
  "prepare",
  "prepare_weights",
  "sample",
  "score",
  "start",
]
