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

from siren_jax.common import checkpoint

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 40


def start(workdir, checkpoint_every):
  """The toy program, on one device, in a process of its own."""
  toy = pathlib.Path(__file__).with_name("toy.py")
  return subprocess.Popen(
    [sys.executable, toy, workdir, str(STEPS), str(checkpoint_every)],
    env=os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
    stderr=subprocess.DEVNULL,
  )


def kill_after_training_began(process, workdir, newest, delay):
  """SIGKILL `delay` seconds after a checkpoint newer than `newest`."""
  deadline = time.monotonic() + 120
  while process.poll() is None and finished_step(workdir) <= newest:
    assert time.monotonic() < deadline, "no checkpoint in two minutes"
    time.sleep(0.01)
  time.sleep(delay)
  process.send_signal(signal.SIGKILL)
  process.wait()


def finished_step(workdir):
  folder = workdir / "checkpoints"
  names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
  return max([int(n) for n in names if n.isdigit()], default=0)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_run_ends_as_an_uninterrupted_one(toy, tmp_path, kills):
  workdir = tmp_path / "killed"
  dice = random.Random(0)
  for _ in range(kills):
    process = start(workdir, 1)
    newest = finished_step(workdir)
    kill_after_training_began(process, workdir, newest, dice.uniform(0, 0.1))
    assert finished_step(workdir) < STEPS, "killed too late to prove anything"
  assert start(workdir, 1).wait() == 0
  toy.run(tmp_path / "straight", STEPS, checkpoint_every=STEPS)
  killed, straight = (
    checkpoint.restore_params(tmp_path / name, prefer_ema=False)[1]
    for name in ("killed", "straight")
  )
  jax.tree.map(np.testing.assert_array_equal, killed, straight)


def test_sigterm_saves_and_exits_0(tmp_path):
  process = start(tmp_path, STEPS)
  while not (tmp_path / "metrics.csv").exists():
    assert process.poll() is None
    time.sleep(0.01)
  process.send_signal(signal.SIGTERM)
  assert process.wait(60) == 0
  assert 0 < finished_step(tmp_path) < STEPS
