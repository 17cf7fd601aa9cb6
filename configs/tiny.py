"""Experts small enough for tests; they learn next to nothing.

  siren-jax prepare-data /tmp/tiny/audio --codec /tmp/tiny/codec \\
    --clap /tmp/tiny/clap --seconds 1 --out /tmp/tiny/codes
  siren-jax train --config=configs/tiny.py --workdir=/tmp/tiny/experts \\
    --config.data.path=/tmp/tiny/codes

Cost: seconds on two CPU cores, most of them compilation.
"""

from siren_jax.experiments.config_files import to_config_dict
from siren_jax.experiments.stage1 import Stage1Experiment
from siren_jax.experts import ExpertConfig
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 4


def get_config():
  return to_config_dict(
    Stage1Experiment(
      experts=ExpertConfig(
        dim=16,
        heads=2,
        kv_heads=1,
        temporal_layers=1,
        depth_layers=1,
        prompt_dim=16,
        feature_dim=16,
        num_codebooks=4,
        codebook_size=64,
        num_experts=2,
      ),
      optimizer=OptimizerConfig(steps=STEPS, warmup_steps=1),
      train=TrainConfig(
        steps=STEPS, batch_size=8, log_every=1, eval_every=2, eval_batches=1,
        checkpoint_every=2,
      ),
    )
  )  # fmt: skip
