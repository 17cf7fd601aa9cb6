"""A CLAP small enough for tests; it learns next to nothing.

  siren-jax train-clap --config=configs/tiny_clap.py \\
    --workdir=/tmp/tiny/clap --config.data.path=/tmp/tiny/audio

Cost: seconds on two CPU cores, most of them compilation.
"""

from siren_jax.clap.config import AudioConfig, ClapConfig, TextConfig
from siren_jax.experiments.clap import ClapDataConfig, ClapExperiment
from siren_jax.experiments.config_files import to_config_dict
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 4


def get_config():
  return to_config_dict(
    ClapExperiment(
      clap=ClapConfig(
        text=TextConfig(
          vocab_size=256, word_width=8, width=16, layers=1, heads=2,
          mlp_width=32, max_tokens=16,
        ),
        audio=AudioConfig(widths=(8, 16), blocks=(1, 1), heads=2),
        embed_dim=16,
      ),
      optimizer=OptimizerConfig(steps=STEPS, warmup_steps=1),
      train=TrainConfig(
        steps=STEPS, batch_size=8, log_every=1, eval_every=2, eval_batches=1,
        checkpoint_every=2,
      ),
      data=ClapDataConfig(
        seconds=1.0, texts=500, text_batch=16, teacher=False
      ),
    )
  )  # fmt: skip
