"""The sizes that benchmarks run, and random weights for them."""

import flax.linen as nn
import jax
import numpy as np

from siren_jax import experts

SHAPES = {
  "peer": experts.ExpertConfig(
    dim=256, heads=8, kv_heads=8, temporal_layers=4, depth_layers=2,
    prompt_dim=256, feature_dim=256, ffn_multiple_of=256,
  ),
  "nano": experts.ExpertConfig(
    dim=128, heads=4, kv_heads=4, temporal_layers=3, depth_layers=1,
    prompt_dim=128, feature_dim=96, ffn_multiplier=0.75,
  ),
  "siren_1_6b": experts.ExpertConfig(  # of configs/siren_1_6b.py
    dim=1024, heads=16, kv_heads=16, temporal_layers=14, depth_layers=2,
    prompt_dim=768, feature_dim=1024, ffn_multiple_of=256, dropout=0.1,
  ),
}  # fmt: skip


def tables(config: experts.ExpertConfig) -> dict[str, np.ndarray]:
  """Random embedding tables of a codec that fits."""
  n, v, e = config.num_codebooks, config.codebook_size, config.code_dim
  random = np.random.default_rng(0)
  shapes = {
    "codebook_NxVx8": (n, v, e),
    "weight_NxFx8": (n, config.feature_dim, e),
    "bias_NxF": (n, config.feature_dim),
  }
  return {k: random.normal(size=s).astype("f") for k, s in shapes.items()}


def variables(config: experts.ExpertConfig):
  """Random variables of all experts."""
  return nn.unbox(experts.init(jax.random.key(0), config, tables(config)))
