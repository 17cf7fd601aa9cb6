"""A codec small enough for tests; it learns next to nothing.

  siren-jax prepare-data --synthetic 24 --seconds 1 --out /tmp/tiny/audio
  siren-jax train-codec --config=configs/tiny_codec.py \\
    --workdir=/tmp/tiny/codec --config.data.path=/tmp/tiny/audio

Cost: seconds on two CPU cores, most of them compilation.
"""

from siren_jax.codec.config import SpectralCodecConfig
from siren_jax.experiments.codec import CodecDataConfig, CodecExperiment
from siren_jax.experiments.config_files import to_config_dict
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 4


def get_config():
  return to_config_dict(
    CodecExperiment(
      codec=SpectralCodecConfig(
        frame_width=16,
        encoder_frame_layers=1,
        encoder_code_layers=1,
        decoder_frame_layers=1,
        decoder_code_layers=1,
        code_width=16,
        expansion=2,
        num_codebooks=4,
        codebook_size=64,
        feature_dim=16,
      ),
      optimizer=OptimizerConfig(steps=STEPS, warmup_steps=1),
      train=TrainConfig(
        steps=STEPS, batch_size=8, log_every=1, eval_every=2, eval_batches=1,
        checkpoint_every=2,
      ),
      data=CodecDataConfig(crop_frames=10),
    )
  )  # fmt: skip
