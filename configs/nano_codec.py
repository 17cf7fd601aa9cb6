"""The codec of the ten-kind model: 16 kHz, 25 frames a second, 12 x 1024.

  siren-jax train-codec --config=configs/nano_codec.py --workdir=runs/codec \\
    --config.data.path=runs/audio

Cost and result: see docs/training.md.
"""

from siren_jax.codec.config import SpectralCodecConfig
from siren_jax.data.augment import AugmentConfig
from siren_jax.experiments.codec import CodecDataConfig, CodecExperiment
from siren_jax.experiments.config_files import to_config_dict
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 2200


def get_config():
  return to_config_dict(
    CodecExperiment(
      codec=SpectralCodecConfig(),
      optimizer=OptimizerConfig(
        learning_rate=1e-3,
        warmup_steps=200,
        final_fraction=0.05,
        b1=0.8,
        b2=0.99,
        weight_decay=1e-3,
      ),
      train=TrainConfig(
        steps=STEPS, batch_size=16, ema_decay=0.998, checkpoint_every=250
      ),
      data=CodecDataConfig(
        crop_frames=20,
        augment=AugmentConfig(gain_db=(-15, 3), speed=(0.85, 1.2), mix=0.25),
      ),
    )
  )
