"""The CLAP of the bundle that ships: reads prompts, and judges sounds.

  siren-jax train-clap --config=configs/nano_clap.py --workdir=runs/clap \\
    --config.data.path=runs/audio

Cost and result: see docs/training.md.
"""

from siren_jax.clap.experiment import ClapExperiment
from siren_jax.cli.experiments import to_config_dict
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 6000


def get_config():
  return to_config_dict(
    ClapExperiment(
      optimizer=OptimizerConfig(
        learning_rate=1e-3, steps=STEPS, warmup_steps=200
      ),
      train=TrainConfig(
        steps=STEPS, batch_size=32, ema_decay=0.998, checkpoint_every=500
      ),
    )
  )
