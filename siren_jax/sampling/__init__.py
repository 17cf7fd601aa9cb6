"""Codes out of prompts: `sample`, by the methods of `SamplingConfig`."""

from siren_jax.sampling.methods import SamplingConfig
from siren_jax.sampling.sampler import Samples, sample

__all__ = ["Samples", "SamplingConfig", "sample"]
