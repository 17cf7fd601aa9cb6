"""Stage 2 for the bundle that ships: two coarse experts, tuned by CLAP.

  siren-jax align --config=configs/align_nano.py --workdir=runs/align \\
    --config.data.path=runs/audio

The prompts are the captions of a prepared data set (or the lines of a text
file), and made-up claims. Cost and result: see docs/alignment.md.
"""

from siren_jax.alignment import AlignConfig
from siren_jax.alignment.experiment import AlignDataConfig, AlignExperiment
from siren_jax.cli.experiments import to_config_dict
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 120


def get_config():
  return to_config_dict(
    AlignExperiment(
      alignment=AlignConfig(),
      optimizer=OptimizerConfig(
        learning_rate=1e-4,
        warmup_steps=10,
        final_fraction=1.0,
        weight_decay=0.0,
      ),
      train=TrainConfig(
        steps=STEPS,
        batch_size=8,
        log_every=1,
        eval_every=20,
        eval_batches=4,
        checkpoint_every=20,
      ),
      data=AlignDataConfig(start="nano-stage1", synthetic=100),
    )
  )
