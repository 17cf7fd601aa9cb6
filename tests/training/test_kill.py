"""SIGKILL at any moment, the same command again: the same parameters."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from siren_jax.storage import checkpoint

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def start():
  """Starts the toy program, on one device, in a process of its own."""
  toy = pathlib.Path(__file__).with_name("toy.py")
  processes = []

  def started(workdir, steps, checkpoint_every=1):
    processes.append(
      subprocess.Popen(
        [sys.executable, toy, workdir, str(steps), str(checkpoint_every)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
      )
    )
    return processes[-1]

  yield started
  for process in processes:
    process.kill()
    process.wait()


@pytest.mark.long
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_run_ends_as_an_uninterrupted_one(
  toy, start, wait_for, finished_step, tmp_path, kills
):
  workdir, steps = tmp_path / "killed", 10 + 10 * kills
  dice = random.Random(0)
  for _ in range(kills):
    newest = finished_step(workdir)
    process = start(workdir, steps)
    wait_for(lambda newest=newest: finished_step(workdir) > newest, process)
    time.sleep(dice.uniform(0, 0.1))
    process.kill()
    assert process.wait() == -signal.SIGKILL, "too late to prove anything"
  assert start(workdir, steps).wait() == 0
  toy.run(tmp_path / "straight", steps, checkpoint_every=steps)
  killed, straight = (
    checkpoint.restore_params(tmp_path / name, prefer_ema=False)[1]
    for name in ("killed", "straight")
  )
  jax.tree.map(np.testing.assert_array_equal, killed, straight)


def test_sigterm_saves_and_exits_0(start, wait_for, finished_step, tmp_path):
  process = start(tmp_path, steps := 1000, checkpoint_every=1000)
  wait_for((tmp_path / "metrics.csv").exists, process)
  process.terminate()
  assert process.wait() == 0
  assert 0 < finished_step(tmp_path) < steps
