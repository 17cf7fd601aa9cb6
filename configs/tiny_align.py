"""Alignment small enough for tests; it learns next to nothing.

  siren-jax align --config=configs/tiny_align.py --workdir=/tmp/tiny/align \\
    --config.data.start=/tmp/tiny/experts

Cost: seconds on two CPU cores, most of them compilation.
"""

from siren_jax.alignment import AlignConfig
from siren_jax.experiments.align import AlignDataConfig, AlignExperiment
from siren_jax.experiments.config_files import to_config_dict
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 4


def get_config():
  return to_config_dict(
    AlignExperiment(
      alignment=AlignConfig(
        policy=(0,),
        rewards=("clap", "deep_likelihood", "verifiable"),
        weights=(1.0, 0.5, 1.0),
        group_size=4,
        minibatches=2,
        seconds=1.0,
      ),
      optimizer=OptimizerConfig(
        learning_rate=1e-3,
        warmup_steps=1,
        final_fraction=1.0,
        weight_decay=0.0,
      ),
      train=TrainConfig(
        steps=STEPS, batch_size=2, log_every=1, eval_every=2, eval_batches=1,
        checkpoint_every=2,
      ),
      data=AlignDataConfig(synthetic=6),
    )
  )  # fmt: skip
