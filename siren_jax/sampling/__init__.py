"""The sampler, from prompt tokens to codes, by the methods of `SamplingConfig`.

`generate` goes from text to audio, `score` says how likely given codes are.
"""

from siren_jax.sampling.config import (
  GenerateConfig,
  SamplingConfig,
  check_candidates,
)
from siren_jax.sampling.generation import Generated, Models, generate
from siren_jax.sampling.sampler import Samples, sample
from siren_jax.sampling.scoring import Scores, score

__all__ = [
  "GenerateConfig",
  "Generated",
  "Models",
  "Samples",
  "SamplingConfig",
  "Scores",
  "check_candidates",
  "generate",
  "sample",
  "score",
]
