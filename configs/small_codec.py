"""The codec of the built-in model: 16 kHz, 25 frames a second, two voices.

  siren-jax train-codec --config=configs/small_codec.py \\
    --workdir=runs/small/codec --config.data.path=runs/small/audio

Cost: 90 minutes on two CPU cores. Result: docs/benchmarks.md, What codecs keep;
that run did not start afresh, but from 2,400 steps of an earlier one.
"""

from siren_jax.codec.config import SpectralCodecConfig
from siren_jax.codec.task import CodecLossConfig
from siren_jax.data.augment import AugmentConfig
from siren_jax.experiments.codec import CodecDataConfig, CodecExperiment
from siren_jax.experiments.config_files import to_config_dict
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 8000


def get_config():
  return to_config_dict(
    CodecExperiment(
      codec=SpectralCodecConfig(voices=2, feature_dim=128, beam=4),
      loss=CodecLossConfig(swing=5.0, loudness=0.5, pitch=0.2),
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
        augment=AugmentConfig(gain_db=(-18, 6), speed=(0.85, 1.2), mix=0.1),
      ),
    )
  )
