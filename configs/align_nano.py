"""Stage 2 for the bundle that ships: how its coarse experts hear the prompt.

  siren-jax align --config=configs/align_nano.py --workdir=runs/align \\
    --config.data.path=runs/audio

The prompts are the captions of a prepared data set, or the lines of a text
file. Cost: about 10 s a step of 128 rollouts on two CPU cores; result: see
docs/alignment.md.
"""

from siren_jax.alignment import AlignConfig
from siren_jax.alignment.experiment import AlignDataConfig, AlignExperiment
from siren_jax.cli.experiments import to_config_dict
from siren_jax.sampling import SamplingConfig
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 45


def get_config():
  return to_config_dict(
    AlignExperiment(
      alignment=AlignConfig(
        tuned=("summary",),
        rewards=("clap", "contrast", "novelty"),
        weights=(0.5, 1.0, 0.4),
        advantage="leave_one_out",
        seconds=2.5,
        sampling=SamplingConfig(guidance=3.0, temperature=0.9),
        minibatches=2,
        kl=0.05,
      ),
      optimizer=OptimizerConfig(
        learning_rate=1e-3,
        warmup_steps=10,
        final_fraction=1.0,
        weight_decay=0.0,
      ),
      train=TrainConfig(
        steps=STEPS,
        batch_size=16,
        log_every=1,
        eval_every=15,
        eval_batches=3,
        checkpoint_every=15,
      ),
      data=AlignDataConfig(start="nano-stage1"),
    )
  )
