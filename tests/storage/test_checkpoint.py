"""Checkpoints that break, and those that do not."""

import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.common.errors import UserError
from siren_jax.storage import checkpoint
from siren_jax.storage.checkpoint import Checkpoints, restore_params


def state_at(step):
  return {
    "params": {"w": jnp.arange(4096.0) + step, "b": jnp.zeros(3, jnp.bfloat16)},
    "extra": {"seen": jnp.asarray([True, False])},
    "ema": None,
    "step": jnp.asarray(step),
  }


def abstract(state):
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
    state,
  )


@pytest.fixture
def workdir(tmp_path):
  with Checkpoints(tmp_path, keep=2) as checkpoints:
    for step in (1, 2, 3):
      checkpoints.save(step, state_at(step), {"n": step}, {"seed": 0})
  return tmp_path


def restore(workdir):
  with Checkpoints(workdir, keep=2) as checkpoints:
    return checkpoints.restore_latest(abstract(state_at(0)))


def files_of(workdir, step, item):
  folder = workdir / "checkpoints" / str(step) / item
  return [f for f in folder.rglob("*") if f.is_file()]


def test_newest_step_comes_back_whole(workdir):
  restored = restore(workdir)
  assert (restored.step, restored.data) == (3, {"n": 3})
  assert restored.config == {"seed": 0}
  jax.tree.map(np.testing.assert_array_equal, restored.state, state_at(3))
  assert sorted(p.name for p in (workdir / "checkpoints").iterdir()) == (
    ["2", "3"]
  )


def test_restores_and_continues_saving(workdir):
  with Checkpoints(workdir, keep=2) as checkpoints:
    restored = checkpoints.restore_latest(abstract(state_at(0)))
    checkpoints.save(4, restored.state, {"n": 4}, {})
    checkpoints.wait()
    restored = checkpoints.restore_latest(abstract(state_at(0)))
  assert restored.step == 4
  jax.tree.map(np.testing.assert_array_equal, restored.state, state_at(3))


def test_a_large_state_is_split_into_small_files(tmp_path, monkeypatch):
  """Each is in memory as a whole (benchmarks/checkpoint_memory.py)."""
  monkeypatch.setattr(checkpoint, "FILE_BYTES", limit := 1 << 16)
  noise = jax.random.bits(jax.random.key(0), (60, limit // 4), "uint8")
  state = {str(i): array for i, array in enumerate(noise)}
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, state, {}, {})
  sizes = [f.stat().st_size for f in files_of(tmp_path, 1, "state")]
  assert sum(sizes) > noise.nbytes
  assert max(sizes) < 3 * limit < noise.nbytes / 4


def test_a_folder_without_checkpoints_restores_nothing(tmp_path):
  assert restore(tmp_path) is None
  with pytest.raises(UserError, match="no readable checkpoint"):
    restore_params(tmp_path)
  with pytest.raises(UserError, match="no checkpoints in"):
    restore_params(tmp_path / "absent")


def flip(file):
  content = bytearray(file.read_bytes())
  content[len(content) // 2] ^= 1
  file.write_bytes(content)


def cut(file):
  file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def remove(file):
  file.unlink()


@pytest.mark.parametrize("damage", [flip, cut, remove])
@pytest.mark.parametrize("item", ["state", "data"])
def test_damaged_newest_step_is_moved_aside(workdir, damage, item, caplog):
  files = [f for f in files_of(workdir, 3, item) if f.suffix != ".txt"]
  damage(max(files, key=lambda f: f.stat().st_size))
  if item == "state":
    np.testing.assert_array_equal(
      restore_params(workdir)[1]["w"], state_at(2)["params"]["w"]
    )
  with caplog.at_level(logging.WARNING):
    assert restore(workdir).step == 2
  assert "checkpoint 3 cannot be read" in caplog.text
  assert (workdir / "checkpoints" / "unreadable-3").is_dir()
  with Checkpoints(workdir, keep=2) as checkpoints:  # Its number is free.
    checkpoints.save(3, state_at(3), {"n": 3}, {})
  assert restore(workdir).step == 3


def test_a_second_damaged_step_is_moved_aside_too(workdir):
  for names in ({"unreadable-3"}, {"unreadable-3", "unreadable-3-2"}):
    if not (workdir / "checkpoints" / "3").exists():
      with Checkpoints(workdir, keep=3) as checkpoints:
        checkpoints.save(3, state_at(3), {"n": 3}, {})
    file = max(files_of(workdir, 3, "state"), key=lambda f: f.stat().st_size)
    flip(file)
    assert restore(workdir).step == 2
    aside = {p.name for p in (workdir / "checkpoints").glob("unreadable-*")}
    assert aside == names


@pytest.mark.parametrize(
  "error",
  [
    MemoryError(),
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"),
    OSError(24, "Too many open files"),
  ],
)
def test_a_machine_that_lacks_room_is_not_a_damaged_step(
  workdir, error, monkeypatch
):
  def fail(*_, **__):
    raise error

  monkeypatch.setattr(checkpoint.ocp.CheckpointManager, "restore", fail)
  with pytest.raises(type(error)):
    restore(workdir)
  with pytest.raises(type(error)):
    restore_params(workdir)
  steps = {p.name for p in (workdir / "checkpoints").iterdir() if p.is_dir()}
  assert {"2", "3"} <= steps and not any("unreadable" in s for s in steps)


def test_a_checkpoint_with_sums_of_before_is_read_and_verified(workdir):
  """They did not weigh an array's elements by their positions."""
  (file,) = [f for f in files_of(workdir, 3, "sums") if f.name == "metadata"]
  sums = {
    jax.tree_util.keystr(path, simple=True, separator="/"): int(
      np.asarray(x).view(f"u{x.dtype.itemsize}").sum(dtype=np.uint64) % 2**32
    )
    for path, x in jax.tree_util.tree_leaves_with_path(state_at(3))
  }
  file.write_text(json.dumps(sums))
  assert restore(workdir).step == 3
  assert restore_params(workdir)[0] == {"seed": 0}
  file.write_text(json.dumps(sums | {"params/w": 1 ^ sums["params/w"]}))
  assert restore(workdir).step == 2


def test_another_position_of_the_data_is_noticed(workdir):
  (file,) = [f for f in files_of(workdir, 3, "data") if f.name == "metadata"]
  assert json.loads(file.read_text()) == {"n": 3}
  file.write_text('{"n": 2}')
  assert restore(workdir).step == 2


def test_no_readable_step_moves_nothing(workdir):
  for step in (2, 3):
    for file in files_of(workdir, step, "data"):
      file.unlink()
  with pytest.raises(UserError, match=r"none of the checkpoints \[2, 3\]"):
    restore(workdir)
  assert (workdir / "checkpoints" / "3").is_dir()


def test_half_written_leftovers_are_removed(workdir):
  junk = workdir / "checkpoints" / "4.orbax-checkpoint-tmp"
  (junk / "state").mkdir(parents=True)
  assert restore(workdir).step == 3
  assert not junk.exists()


def test_parameters_for_inference_are_numpy_arrays(workdir):
  config, params, extra = restore_params(workdir)
  assert config == {"seed": 0}
  assert type(params["w"]) is np.ndarray
  assert params["b"].dtype == jnp.bfloat16
  np.testing.assert_array_equal(extra["seen"], [True, False])


def test_a_state_donated_during_the_write_is_saved_unchanged(tmp_path):
  """The copy is made before `save` returns."""
  bump = jax.jit(lambda x: x + 1, donate_argnums=0)
  x = jnp.zeros(2_000_000)
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, {"params": {"x": x}}, {}, {})
    for _ in range(5):
      x = bump(x)
  np.testing.assert_array_equal(restore_params(tmp_path)[1]["x"], 0.0)


def test_unwritable_folder_is_one_line(workdir, monkeypatch):
  with Checkpoints(workdir) as checkpoints:

    def full(*args, **kwargs):
      raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints._manager, "save", full)
    with pytest.raises(UserError, match="no space left .*make room"):
      checkpoints.save(4, state_at(4), {}, {})
  assert restore(workdir).step == 3
