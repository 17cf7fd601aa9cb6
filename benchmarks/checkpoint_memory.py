"""Host memory that a checkpoint of a sharded state takes, and its growth.

  python -m benchmarks.checkpoint_memory
  python -m benchmarks.checkpoint_memory --widths 128 192 256 --folder DIR

The state is that of configs/siren_1_6b.py with all its widths scaled: six
experts with AdamW's moments, float32, over eight fake CPU devices (expert=2,
fsdp=4), so the state lies in host memory itself. It is noise, because zeros
pack well and trained moments do not. One process saves it and another one
restores it as the trainer does, and a third draws a fresh one.

Peaks are of resident anonymous memory (no page cache) above what there was
before the state, beside the state's size with nothing counted twice; "held" is
the state on its devices, some arrays of it on several. Growth is the slope of
a peak against the size: it leaves out what is the same at any width. The bar
is 2.2, for save and restore.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import re
import tempfile
import threading
import types
from pathlib import Path

import jax
import numpy as np

from configs import siren_1_6b
from siren_jax.common.mesh import MeshConfig, make_mesh
from siren_jax.experts import ExpertConfig
from siren_jax.experts.task import Stage1Task
from siren_jax.storage.checkpoint import Checkpoints, Restored
from siren_jax.training import OptimizerConfig, trainer

DEVICES = 8
MESH = MeshConfig(expert=2, fsdp=4)
NAMES = ("held", "save", "restore", "init")


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--widths", type=int, nargs="+", default=[128, 192, 256])
  parser.add_argument("--folder", help="where checkpoints go, for a while")
  args = parser.parse_args()
  os.environ["JAX_PLATFORMS"] = "cpu"
  os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
  print(f"{DEVICES} fake devices; GB, and times the state's size")
  rows = []
  for width in args.widths:
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
      size, *peaks = alone(save, width, folder)
      peaks += [alone(restore, width, folder), alone(init, width, folder)]
    rows.append((size, *peaks))
    text = "  ".join(f"{n} {row(p, size)}" for n, p in zip(NAMES, peaks))
    print(f"width {width}: state {size / 1e9:.2f}  {text}", flush=True)
  if len(rows) > 1:
    sizes, *columns = np.asarray(rows).T
    slopes = [np.polyfit(sizes, column, 1)[0] for column in columns]
    print("growth:", "  ".join(f"{n} {s:.2f}" for n, s in zip(NAMES, slopes)))


def row(peak: int, size: int) -> str:
  return f"{peak / 1e9:.2f} ({peak / size:.2f})"


def alone(function, *args):
  """The same call in a new process."""
  context = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
    return pool.submit(function, *args).result()


def save(width: int, folder: str) -> tuple[int, int, int]:
  """Bytes of the state, of what its devices hold and of the peak."""
  with set_up(width, folder) as (state_from, checkpoints, before):
    noise = types.SimpleNamespace(restore_latest=noise_like)
    with Peak() as peak:
      leaves = jax.tree.leaves(state := state_from(noise))
      checkpoints.save(1, state, {}, {})
      checkpoints.wait()
  size = sum(leaf.nbytes for leaf in leaves)
  held = sum(s.data.nbytes for leaf in leaves for s in leaf.addressable_shards)
  return size, held, peak.bytes - before


def restore(width: int, folder: str) -> int:
  """Bytes of the peak."""
  with set_up(width, folder) as (state_from, checkpoints, before):
    assert checkpoints.latest_step() == 1
    with Peak() as peak:
      jax.block_until_ready(state_from(checkpoints))
  return peak.bytes - before


def init(width: int, folder: str) -> int:
  """Bytes of the peak, compilation included."""
  with set_up(width, f"{folder}/empty") as (state_from, checkpoints, before):
    with Peak() as peak:
      jax.block_until_ready(state_from(checkpoints))
  return peak.bytes - before


@contextlib.contextmanager
def set_up(width: int, folder: str):
  """The trainer's way to a state, checkpoints and the memory before both."""
  config = ExpertConfig(**siren_1_6b.get_config().experts.to_dict())
  widths = ("dim", "prompt_dim", "feature_dim", "ffn_multiple_of")
  scaled = {n: getattr(config, n) * width // config.dim for n in widths}
  task = Stage1Task(
    dataclasses.replace(config, **scaled), OptimizerConfig(), None
  )
  mesh = make_mesh(MESH)
  data = types.SimpleNamespace(set_state=lambda _: None)
  with jax.set_mesh(mesh), Checkpoints(folder) as checkpoints:
    root = jax.block_until_ready(trainer._root_key(0, mesh))

    def state_from(checkpoints):
      return trainer._restore_or_init(task, root, mesh, checkpoints, data)

    yield state_from, checkpoints, resident()


def noise_like(abstract):
  """Noise in the place of a checkpoint, shard by shard."""

  def draw(leaf):
    def shard(index):
      rng = np.random.default_rng(0)  # Replicas are equal.
      shape = np.broadcast_to(0, leaf.shape)[index].shape
      return rng.standard_normal(shape, np.float32).astype(leaf.dtype)

    return jax.make_array_from_callback(leaf.shape, leaf.sharding, shard)

  return Restored(0, jax.tree.map(draw, abstract), {}, {})


class Peak:
  """The most memory within the block, in `bytes`."""

  def __enter__(self) -> "Peak":
    self.bytes = resident()
    self._done = threading.Event()
    self._thread = threading.Thread(target=self._watch)
    self._thread.start()
    return self

  def __exit__(self, *_) -> None:
    self._done.set()
    self._thread.join()

  def _watch(self):
    while not self._done.wait(0.002):
      self.bytes = max(self.bytes, resident())


def resident() -> int:
  """Bytes of this process that no file backs."""
  status = Path("/proc/self/status").read_text()
  return 1024 * int(re.search(r"RssAnon:\s+(\d+)", status)[1])


if __name__ == "__main__":
  main()
