"""The experts of the ten-kind model: six of width 128, 3 + 1 layers.

  siren-jax train --config=configs/nano.py --workdir=runs/experts \\
    --config.data.path=runs/codes

Cost and result: see docs/training.md.
"""

from siren_jax.experiments.config_files import to_config_dict
from siren_jax.experiments.stage1 import Stage1Experiment
from siren_jax.experts import ExpertConfig
from siren_jax.sampling import GenerateConfig, SamplingConfig
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 1950


def get_config():
  return to_config_dict(
    Stage1Experiment(
      experts=ExpertConfig(
        dim=128,
        heads=4,
        kv_heads=4,
        temporal_layers=3,
        depth_layers=1,
        prompt_dim=128,
        feature_dim=96,
        ffn_multiplier=0.75,
      ),
      optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=100),
      train=TrainConfig(
        steps=STEPS, batch_size=16, ema_decay=0.99, checkpoint_every=100
      ),
      generate=GenerateConfig(
        sampling=SamplingConfig(temperature=0.9, top_k=64, guidance=3.0),
        candidates=4,
        max_seconds=5.0,
      ),
    )
  )
