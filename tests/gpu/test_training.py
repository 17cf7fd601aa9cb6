"""On a GPU too, Stage 1 goes on from a checkpoint as if it had not stopped."""

import jax
import numpy as np
import pytest

from siren_jax import experts, training
from siren_jax.common import mesh as meshes
from siren_jax.experts.task import Stage1Config, Stage1Task

pytestmark = pytest.mark.gpu

ROWS, FRAMES, TOKENS = 8, 16, 4


class Data:
  """Endless batches; the n-th follows from n."""

  def __init__(self, config):
    self.config, self.position = config, 0

  def __next__(self):
    random = np.random.default_rng(self.position)
    self.position += 1
    codes = (ROWS, self.config.num_codebooks, FRAMES)
    prompt = (ROWS, TOKENS, self.config.prompt_dim)
    lengths = random.integers(1, FRAMES, (ROWS, 1), endpoint=True)
    return {
      "codes_BxNxT": random.integers(
        self.config.codebook_size, size=codes, dtype=np.int32
      ),
      "prompt_BxPxC": random.normal(size=prompt).astype(np.float32),
      "frame_mask_BxT": np.arange(FRAMES) < lengths,
      "prompt_mask_BxP": np.ones((ROWS, TOKENS), bool),
    }

  def get_state(self):
    return {"position": self.position}

  def set_state(self, state):
    self.position = state["position"]


@pytest.fixture(params=["float32", "bfloat16"])
def run(request):
  """(work directory, steps) -> the state after so many."""
  config = experts.ExpertConfig(
    dim=64, heads=4, kv_heads=2, temporal_layers=2, depth_layers=1,
    prompt_dim=16, feature_dim=16, num_codebooks=4, num_experts=2,
    codebook_size=256, dropout=0.1,
  )  # fmt: skip
  execution = experts.Execution(
    dtype=request.param, scan_layers=True, remat=True
  )
  random = np.random.default_rng(0)
  shapes = {
    "codebook_NxVx8": (4, 256, 8),
    "weight_NxFx8": (4, 16, 8),
    "bias_NxF": (4, 16),
  }
  tables = {
    name: random.normal(size=shape).astype(np.float32)
    for name, shape in shapes.items()
  }
  optimizer = training.OptimizerConfig(warmup_steps=2, steps=10)
  task = Stage1Task(
    config,
    optimizer,
    tables,
    Stage1Config(ema_decay=0.9),
    execution=execution,
  )
  mesh = meshes.make_mesh(meshes.MeshConfig(), jax.devices()[:1])

  def run(workdir, steps):
    settings = training.TrainConfig(steps=steps, batch_size=ROWS)
    data = Data(config)
    return training.train(task, settings, mesh, data, None, workdir, {})

  return run


def test_a_resumed_run_is_one_run_to_the_bit(run, tmp_path):
  whole = run(tmp_path / "whole", 7)
  half = jax.device_get(run(tmp_path / "halves", 4).params)
  resumed = run(tmp_path / "halves", 7)
  assert resumed.step == 7
  jax.tree.map(np.testing.assert_array_equal, resumed, whole)
  changed = jax.tree.map(lambda a, b: (a != b).any(), resumed.params, half)
  assert any(jax.tree.leaves(changed))
