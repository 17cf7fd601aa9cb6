"""Stage 2 of the bundle that ships: its coarsest expert, to be heard right.

  siren-jax prepare-data ESC10 --validation-fold 4 --captions 16 \\
    --out runs/audio
  siren-jax align --config=configs/align_nano.py --workdir=runs/align \\
    --config.data.path=runs/audio
  siren-jax average runs/align/bundle-150 --start nano-stage1 --share 0.9 \\
    --out nano-aligned

The prompts are the captions of a prepared data set, or the lines of a text
file, and made-up claims. Cost: 17 to 40 minutes on two CPU cores, as they are
(6.5 to 16 s a step of 256 rollouts); result, and why it is so set up:
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
      data=AlignDataConfig(start="nano-stage1", synthetic=300),
    )
  )
