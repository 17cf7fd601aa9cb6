"""Resuming, sharding and stopping of the trainer."""

import csv
import json
import shutil
import signal
import subprocess
import time
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.common import mesh as meshes
from siren_jax.common import signals
from siren_jax.common.errors import UserError
from siren_jax.storage import checkpoint
from siren_jax.training import Sounds, trainer


def assert_same(a, b):
  """Bitwise, every array of two states."""
  jax.tree.map(np.testing.assert_array_equal, jax.device_get((a, a)), (b, b))


def steps_of(workdir):
  with (workdir / "metrics.csv").open() as file:
    return [int(row["step"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def straight(toy, tmp_path_factory):
  """Work directory and state of ten steps without a break."""
  workdir = tmp_path_factory.mktemp("straight")
  return workdir, jax.device_get(toy.run(workdir, 10))


@pytest.fixture(scope="module")
def four_steps(toy, tmp_path_factory):
  return jax.device_get(toy.run(tmp_path_factory.mktemp("four"), 4))


def test_resumed_run_equals_one_run(toy, straight, tmp_path):
  toy.run(tmp_path, 7)
  state = toy.run(tmp_path, 10)
  assert_same(state, straight[1])


class TaskWithSounds:
  """Gives a toy task sounds, which its parameters make."""

  def __init__(self, task):
    self.task = task
    self.sounds = Sounds(self.make, 8000, ({"gain": jnp.float32(0.5)},))

  def __getattr__(self, name):
    return getattr(self.task, name)

  @staticmethod
  def make(state, batch, rows, scale):
    gain = scale["gain"] * state.eval_params["Dense_0"]["bias"].mean()
    audio_BxS = jnp.ones((len(batch["x_BxD"][:rows]), 400)) * gain
    return {"made": audio_BxS, "recording": jnp.tanh(batch["x_BxD"][:rows])}


def test_every_evaluation_writes_sounds_and_changes_nothing(
  toy, straight, tmp_path
):
  task = TaskWithSounds(toy.Task(toy.config(10)))
  toy.run(tmp_path, 7, task=task, samples=3)
  state = toy.run(tmp_path, 10, task=task, samples=3)
  assert_same(state, straight[1])
  audio = [
    (s, v.tag) for s, v in toy.summaries(tmp_path) if v.HasField("audio")
  ]
  tags = {f"sound_{i}/{n}" for i in range(3) for n in ("made", "recording")}
  for step in (6, 7, 10):  # Every sixth step is evaluated, and the last.
    assert {tag for s, tag in audio if s == step} == tags
  assert len(audio) == 3 * len(tags)


@pytest.mark.parametrize("samples", [0, 2])
def test_sounds_are_compiled_once_or_not_at_all(samples, toy, tmp_path):
  traced = []

  class Counted(TaskWithSounds):
    @staticmethod
    def make(state, batch, rows, scale):
      traced.append(rows)
      return TaskWithSounds.make(state, batch, rows, scale)

  task = Counted(toy.Task(toy.config(12)))
  mesh = meshes.make_mesh(meshes.MeshConfig(data=4), jax.devices()[:4])
  toy.run(tmp_path, 12, mesh=mesh, task=task, samples=samples)
  assert traced == ([4] if samples else [])
  sounds = [v for _, v in toy.summaries(tmp_path) if v.HasField("audio")]
  assert len(sounds) == 2 * 2 * samples


def test_loss_falls(straight):
  with (straight[0] / "metrics.csv").open() as file:
    losses = [r["eval/loss"] for r in csv.DictReader(file) if r["eval/loss"]]
  assert len(losses) == 2
  assert float(losses[-1]) < float(losses[0])


def test_finished_run_is_left_alone(toy, straight):
  class NoData(toy.Data):
    def __next__(self):
      raise AssertionError("asked for a batch")

  assert_same(toy.run(straight[0], 10, data=NoData()), straight[1])


@pytest.mark.parametrize("sizes", [dict(data=1), dict(data=2, fsdp=2)], ids=str)
def test_what_is_measured_on_the_host_is_trained_on(
  toy, straight, sizes, tmp_path
):
  """Targets that `measure` gives; the batches' own are never looked at."""

  class Measured(toy.Task):
    def rollout(self, state, batch, key):
      rolls.append(key is not None)
      return {"x_BxD": batch["x_BxD"]}

    def measure(self, batch):
      x_BxD = meshes.own_rows(batch["x_BxD"])
      y = meshes.shard_batch({"y_BxD": np.sin(3 * x_BxD)}, mesh)
      return batch | y

  rolls = []
  count = int(np.prod([*sizes.values()]))
  mesh = meshes.make_mesh(meshes.MeshConfig(**sizes), jax.devices()[:count])
  task = Measured(toy.config(10))
  state = toy.run(tmp_path, 10, mesh=mesh, task=task)
  assert rolls == [True, False]  # Compiled once to train, once to evaluate.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    jax.device_get(state),
    straight[1],
  )


def test_rows_after_the_lost_checkpoint_are_dropped(toy, tmp_path):
  class Dies(toy.Data):
    def __next__(self):
      if self.position == 7:  # Checkpoint at 4, logged at 6.
        raise KeyboardInterrupt
      return super().__next__()

  with pytest.raises(KeyboardInterrupt):
    toy.run(tmp_path, 10, data=Dies())
  assert steps_of(tmp_path) == [2, 4, 6]
  toy.run(tmp_path, 10)
  assert steps_of(tmp_path) == [2, 4, 6, 8, 10]


def test_interrupted_before_any_checkpoint_starts_afresh(
  toy, straight, tmp_path
):
  class Dies(toy.Data):
    def __next__(self):
      if self.position == 3:
        raise KeyboardInterrupt
      return super().__next__()

  with pytest.raises(KeyboardInterrupt):
    toy.run(tmp_path, 10, data=Dies())
  assert_same(toy.run(tmp_path, 10), straight[1])


@pytest.mark.long
def test_a_flipped_bit_is_detected_or_changes_nothing(
  toy, straight, tmp_path, caplog
):
  """In any file of the newest checkpoint; some of them are read by nobody."""
  toy.run(whole := tmp_path / "whole", 9)
  newest = whole / "checkpoints" / "9"
  changed = set()
  for number, path in enumerate(newest.rglob("*")):
    if path.is_dir():
      continue
    copy = shutil.copytree(whole, tmp_path / str(number))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    (copy / path.relative_to(whole)).write_bytes(content)
    caplog.clear()
    assert_same(toy.run(copy, 10), straight[1])
    aside = (copy / "checkpoints" / "unreadable-9").is_dir()
    assert aside == ("checkpoint 9 cannot be read" in caplog.text)
    if aside:
      changed.add(path.relative_to(newest).parts[0])
  assert changed >= {"state", "data", "config", "sums"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("times", [1, 2])
def test_signal_saves_and_exits_0(toy, straight, tmp_path, number, times):
  """Also if it is sent twice at once, as GNU timeout does."""

  class Signals(toy.Data):
    def __next__(self):
      if self.position == 5:
        for _ in range(times):
          signal.raise_signal(number)
      return super().__next__()

  before = signal.getsignal(number)
  with pytest.raises(SystemExit) as stopped:
    toy.run(tmp_path, 10, data=Signals())
  assert stopped.value.code == 0
  assert signal.getsignal(number) is before
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.latest_step() == 6
  assert_same(toy.run(tmp_path, 10), straight[1])


def test_a_second_signal_is_for_good(monkeypatch, request):
  times = iter((0.0, 0.5, 1.5))
  clock = types.SimpleNamespace(monotonic=lambda: next(times))
  monkeypatch.setattr(signals, "time", clock)  # Other threads ask theirs.
  # A shell starts what is in its background with the signal ignored.
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
  with (
    pytest.raises(KeyboardInterrupt),
    trainer._stop_signals() as stop_requested,
  ):
    for _ in range(2):
      signal.raise_signal(signal.SIGINT)
      assert stop_requested(0)
    signal.raise_signal(signal.SIGINT)
    raise AssertionError("nothing came of the second one")


def test_nan_loss_stops_and_keeps_the_last_checkpoint(toy, tmp_path):
  class Bad(toy.Data):
    def __next__(self):
      batch = super().__next__()
      if self.position == 8:
        batch["y_BxD"][0, 0] = np.nan
      return batch

  with pytest.raises(UserError, match="is nan at step 8"):
    toy.run(tmp_path, 12, data=Bad())
  with checkpoint.Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.latest_step() == 4
  assert toy.run(tmp_path, 12).step == 12


def test_other_config_is_refused_by_name(toy, tmp_path):
  toy.run(tmp_path, 4)
  with pytest.raises(UserError, match=r"train\.seed=1 .* 0;"):
    toy.run(tmp_path, 8, seed=1)
  toy.run(tmp_path, 6)
  recorded = json.loads((tmp_path / "config.json").read_text())
  assert recorded["train"]["steps"] == 6


def test_process_0_alone_writes_the_config(
  toy, straight, monkeypatch, tmp_path
):
  workdir = shutil.copytree(straight[0], tmp_path / "run")
  (workdir / "config.json").unlink()
  monkeypatch.setattr(jax, "process_index", lambda *_: 1)
  toy.run(workdir, 10)
  assert not (workdir / "config.json").exists()


def test_data_that_run_out_name_the_step(toy, tmp_path):
  class Ends(toy.Data):
    def __next__(self):
      if self.position == 2:
        raise StopIteration
      return super().__next__()

  with pytest.raises(UserError, match="ended at step 2"):
    toy.run(tmp_path, 4, data=Ends())


@pytest.mark.parametrize(
  "sizes",
  [dict(fsdp=8), dict(model=8), dict(data=2, expert=2, model=2)],
  ids=str,
)
def test_eight_devices_equal_one(toy, four_steps, tmp_path, sizes):
  mesh = meshes.make_mesh(meshes.MeshConfig(**({"data": 1} | sizes)))
  state = toy.run(tmp_path, 4, mesh=mesh)
  kernel = state.params["Dense_0"]["kernel"]
  assert kernel.sharding.spec == jax.P("fsdp", "model")
  assert state.opt_state[1][0].mu["Dense_0"]["kernel"].sharding == (
    kernel.sharding
  )
  assert state.ema["Dense_1"]["kernel"].sharding.spec == jax.P("model", "fsdp")
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    jax.device_get(state),
    four_steps,
  )


def test_resumes_on_another_mesh(toy, straight, tmp_path):
  toy.run(tmp_path, 6, mesh=meshes.make_mesh(meshes.MeshConfig(fsdp=4)))
  state = toy.run(tmp_path, 10)
  assert len(state.params["Dense_0"]["kernel"].devices()) == 1
  np.testing.assert_allclose(
    state.ema["Dense_0"]["kernel"],
    straight[1].ema["Dense_0"]["kernel"],
    atol=1e-5,
  )


def test_activation_is_sharded(toy):
  mesh = meshes.make_mesh(meshes.MeshConfig(data=2, fsdp=2, model=2))
  task = toy.Task(toy.config(1))

  @jax.jit
  def hidden_layer(key, x):
    params = nn.unbox(task.init(key).params)
    return task.net.apply({"params": params}, x, mutable=["intermediates"])[1]

  with jax.set_mesh(mesh):
    sown = hidden_layer(jax.random.key(0), jnp.ones((16, 8)))
  (hidden,) = sown["intermediates"]["hidden"]
  assert hidden.sharding.spec == jax.P(("data", "fsdp"), "model")


def test_state_is_donated(toy, tmp_path, monkeypatch):
  first = []
  init = trainer._restore_or_init
  monkeypatch.setattr(
    trainer,
    "_restore_or_init",
    lambda *args: first.append(init(*args)) or first[0],
  )
  toy.run(tmp_path, 1)
  assert all(x.is_deleted() for x in jax.tree.leaves(first[0]))


def test_profiling_writes_one_trace(toy, tmp_path):
  toy.run(tmp_path, 5, profile=2)
  traces = list((tmp_path / "profile").rglob("*.xplane.pb"))
  assert len(traces) == 1 and traces[0].stat().st_size > 0


def test_inference_reads_averaged_parameters_by_default(straight):
  workdir, state = straight
  config, params, extra = checkpoint.restore_params(workdir)
  assert_same(params, state.ema)
  assert_same(checkpoint.restore_params(workdir, False)[1], state.params)
  assert config == {"train": {"steps": 10, "seed": 0}}
  assert extra == {}
  assert all(type(p) is np.ndarray for p in jax.tree.leaves(params))


@pytest.fixture
def small_disk(tmp_path):
  """A folder on a file system of one megabyte."""
  result = subprocess.run(
    ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path],
    capture_output=True,
  )
  if result.returncode:
    pytest.skip("mounting a file system takes root")
  yield tmp_path
  subprocess.run(["umount", "--lazy", tmp_path], check=True)


def wait_for(path, seconds=60):
  end = time.monotonic() + seconds
  while not path.exists() and time.monotonic() < end:
    time.sleep(0.01)


def test_full_disk_keeps_the_last_checkpoint(toy, small_disk):
  class Fills(toy.Data):
    def __next__(self):
      if self.position == 6:  # Leaves room for rows, not for a checkpoint.
        wait_for(small_disk / "checkpoints" / "4")  # Saved in the background.
        free = shutil.disk_usage(small_disk).free
        (small_disk / "ballast").write_bytes(bytes(free - 20_000))
      return super().__next__()

  with pytest.raises(UserError, match="make room") as error:
    toy.run(small_disk, 100, data=Fills())
  assert len(str(error.value).splitlines()) == 1
  (small_disk / "ballast").unlink()
  with checkpoint.Checkpoints(small_disk) as checkpoints:
    assert checkpoints.latest_step() == 4
  assert toy.run(small_disk, 8).step == 8
