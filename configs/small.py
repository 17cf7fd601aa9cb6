"""The experts of the built-in model: six of width 192, 3 + 1 layers.

  siren-jax train --config=configs/small.py --workdir=runs/small/experts \\
    --config.data.path=runs/small/codes

The learning rate is constant, so training can go on for as long as there is
time; a last run lets it fall (launch/default_model.sh). Cost: 0.45 steps/s on
two CPU cores. Results: docs/training.md.
"""

from siren_jax.experiments.config_files import to_config_dict
from siren_jax.experiments.stage1 import Stage1Experiment
from siren_jax.experts import ExpertConfig
from siren_jax.sampling import GenerateConfig, SamplingConfig
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 4000


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
      optimizer=OptimizerConfig(
        learning_rate=1e-3, warmup_steps=200, final_fraction=1.0
      ),
      train=TrainConfig(
        steps=STEPS, batch_size=16, ema_decay=0.998, checkpoint_every=100
      ),
      generate=GenerateConfig(
        sampling=SamplingConfig(temperature=1.1, top_k=64, guidance=5.0),
        candidates=4,
        max_seconds=5.0,
      ),
    )
  )
