"""A small sharded model with everything a run needs; also a program.

`python toy.py WORKDIR STEPS` trains it: what the kill tests start and stop.
"""

import struct
import sys
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from tensorboardX.proto import event_pb2

from siren_jax.common import mesh as meshes
from siren_jax.training import (
  OptimizerConfig,
  TrainConfig,
  TrainState,
  make_optimizer,
  supervised_step,
  train,
)


class Net(nn.Module):
  """One hidden layer; `hidden` is sown so that tests see its sharding."""

  @nn.compact
  def __call__(self, x_BxD):
    named = nn.with_logical_partitioning
    init = nn.initializers.lecun_normal()
    x = nn.Dense(64, kernel_init=named(init, ("embed", "mlp")))(x_BxD)
    x = meshes.constrain(nn.tanh(x), "batch", "mlp")
    self.sow("intermediates", "hidden", x)
    return nn.Dense(8, kernel_init=named(init, ("mlp", "embed")))(x)


OPTIMIZER = OptimizerConfig(learning_rate=1e-2, warmup_steps=2, steps=100)


class Task:
  """Regression with a random part in the loss and an average of parameters."""

  def __init__(self, config, optimizer=OPTIMIZER, noise=0.1):
    self.net, self.noise = Net(), noise
    self.tx = make_optimizer(optimizer)
    self.ema = config.ema_decay > 0
    self.step = supervised_step(
      self.loss, self.tx, config.ema_decay, config.accumulate
    )

  def init(self, key):
    params = self.net.init(key, jnp.zeros((1, 8)))["params"]
    return TrainState.create(params, self.tx, ema=self.ema)

  def loss(self, params, batch, key):
    x = batch["x_BxD"]
    x += self.noise * jax.random.normal(key, x.shape)
    y = self.net.apply({"params": params}, x)
    return jnp.mean((y - batch["y_BxD"]) ** 2), {}

  def evaluate(self, state, batch):
    y = self.net.apply({"params": state.eval_params}, batch["x_BxD"])
    return {"loss": jnp.mean((y - batch["y_BxD"]) ** 2)}


class Data:
  """Endless batches; the n-th follows from n."""

  def __init__(self, position=0, pause=0.0):
    self.position, self.pause = position, pause

  def __next__(self):
    time.sleep(self.pause)
    x = np.random.default_rng(self.position).normal(size=(16, 8))
    self.position += 1
    x = x.astype(np.float32)
    return {"x_BxD": x, "y_BxD": np.sin(3 * x)}

  def get_state(self):
    return {"position": self.position}

  def set_state(self, state):
    self.position = state["position"]


def summaries(workdir):
  """(step, value) of all that TensorBoard was given."""
  for path in sorted((workdir / "tensorboard").iterdir()):
    content = path.read_bytes()
    while content:
      (size,) = struct.unpack("<Q", content[:8])
      event = event_pb2.Event.FromString(content[12 : 12 + size])
      content = content[16 + size :]
      for value in event.summary.value:
        yield event.step, value


def eval_data():
  data = Data(10**6)
  return iter([next(data) for _ in range(3)])


def config(steps, **changes):
  defaults = dict(
    batch_size=16, log_every=2, eval_every=6, eval_batches=2,
    checkpoint_every=4, ema_decay=0.9,
  )  # fmt: skip
  return TrainConfig(steps=steps, **(defaults | changes))


def run(workdir, steps, mesh=None, data=None, task=None, **changes):
  """Trains on one device by default."""
  cfg = config(steps, **changes)
  if mesh is None:
    mesh = meshes.make_mesh(meshes.MeshConfig(), jax.devices()[:1])
  return train(
    task or Task(cfg), cfg, mesh, data or Data(), eval_data, workdir,
    {"train": {"steps": steps, "seed": cfg.seed}},
  )  # fmt: skip


if __name__ == "__main__":
  run(
    sys.argv[1], int(sys.argv[2]), data=Data(pause=0.02),
    checkpoint_every=int(sys.argv[3]), keep=2,
  )  # fmt: skip
