"""Stage 2 of a small model: its coarsest expert.

  siren-jax align --config=configs/align_nano.py --workdir=runs/align \\
    --config.data.start=mine --config.data.path=runs/audio
  siren-jax average runs/align/bundle-150 --start mine --share 0.9 \\
    --out mine-aligned

The prompts are the captions of a prepared data set, or the lines of a text
file, and synthetic claims. Of a model of nano's size: 17 to 40 minutes on two
CPU cores (6.5 to 16 s per step of 256 rollouts). Results and reasons:
docs/alignment.md.
"""

from siren_jax.alignment import AlignConfig
from siren_jax.experiments.align import AlignDataConfig, AlignExperiment
from siren_jax.experiments.config_files import to_config_dict
from siren_jax.sampling import SamplingConfig
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 150


def get_config():
  return to_config_dict(
    AlignExperiment(
      alignment=AlignConfig(
        # Of the gradient, signal is here: benchmarks/gradient_noise.py.
        policy=(0,),
        tuned=("temporal", "depth", "summary"),
        seconds=1.25,
        rewards=("clap", "contrast", "novelty", "verifiable"),
        weights=(0.5, 1.0, 0.7, 2.0),
        advantage="leave_one_out",
        sampling=SamplingConfig(guidance=3.0, temperature=0.9),
        minibatches=1,
        kl=0.02,
      ),
      optimizer=OptimizerConfig(
        learning_rate=1.5e-4,
        warmup_steps=10,
        final_fraction=0.1,
        weight_decay=0.0,
      ),
      train=TrainConfig(
        steps=STEPS,
        batch_size=32,
        log_every=1,
        eval_every=25,
        eval_batches=3,
        checkpoint_every=25,
      ),
      data=AlignDataConfig(synthetic=300),
    )
  )
