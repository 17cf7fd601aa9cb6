"""The experts of the default model: six of width 192, 3 + 1 layers.

  siren-jax train --config=configs/small.py --workdir=runs/small/experts \\
    --config.data.path=runs/small/codes

Its training has not ended: there is no result yet.
"""

from siren_jax.experiments.config_files import to_config_dict
from siren_jax.experiments.stage1 import Stage1Experiment
from siren_jax.experts import ExpertConfig
from siren_jax.sampling import GenerateConfig, SamplingConfig
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 8000


def get_config():
  return to_config_dict(
    Stage1Experiment(
      experts=ExpertConfig(
        dim=192,
        heads=6,
        kv_heads=6,
        temporal_layers=3,
        depth_layers=1,
        prompt_dim=128,
        feature_dim=128,
        ffn_multiplier=0.75,
        dropout=0.1,
      ),
      optimizer=OptimizerConfig(learning_rate=1.5e-3, warmup_steps=200),
      train=TrainConfig(
        steps=STEPS, batch_size=16, ema_decay=0.998, checkpoint_every=100
      ),
      generate=GenerateConfig(
        sampling=SamplingConfig(temperature=0.9, top_k=64, guidance=3.0),
        candidates=4,
        max_seconds=5.0,
      ),
    )
  )
