"""Siren 1.6B of the paper: six experts of 273 M parameters (1.64 B in all).

  siren-jax train --config=configs/siren_1_6b.py --workdir=DIR \\
    --config.data.path=CODES

CODES is a code set of a codec with 12 codebooks of 1024 codes and features
1024 wide (Descript's 16 kHz DAC) and of a text tower 768 wide (LAION's CLAP);
docs/audiocaps.md makes one. The state is divided among the devices there are,
a power of two up to 64; docs/scaling.md has meshes for others. Never trained at
this size by this project: cost and result are not known. Widths, layers and the
optimizer are the paper's; the number of steps is ours.
"""

from siren_jax.common.mesh import MeshConfig
from siren_jax.experiments.config_files import to_config_dict
from siren_jax.experiments.stage1 import Stage1Experiment
from siren_jax.experts import Execution, ExpertConfig
from siren_jax.training import OptimizerConfig, TrainConfig

STEPS = 200_000


def get_config():
  return to_config_dict(
    Stage1Experiment(
      experts=ExpertConfig(
        dim=1024,
        heads=16,
        kv_heads=16,
        temporal_layers=14,
        depth_layers=2,
        prompt_dim=768,
        feature_dim=1024,
        ffn_multiple_of=256,
        dropout=0.1,
      ),
      execution=Execution(dtype="bfloat16", scan_layers=True, remat=True),
      optimizer=OptimizerConfig(learning_rate=3e-4, warmup_steps=2000),
      train=TrainConfig(
        steps=STEPS, batch_size=192, eval_every=2000, checkpoint_every=1000
      ),
      mesh=MeshConfig(data=1, fsdp=-1),
    )
  )
