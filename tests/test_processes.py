"""Several processes over loopback train what one does, killed or not."""

import csv
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

from siren_jax.cli.main import main
from siren_jax.storage import checkpoint

ROOT = pathlib.Path(__file__).parents[1]
STEPS = 20
MESHES = {1: {}, 2: {"expert": 2}, 4: {"data": 2, "expert": 2}}


@pytest.fixture(scope="module")
def codes(tiny_bundle, tmp_path_factory):
  """A code set for configs/tiny.py."""
  folder = tmp_path_factory.mktemp("data")
  audio, codes = str(folder / "audio"), str(folder / "codes")
  synthetic = ["--synthetic", "24", "--seconds", "1", "--out", audio]
  assert main(["prepare-data", *synthetic]) == 0
  parts = ["--codec", str(tiny_bundle), "--clap", str(tiny_bundle)]
  options = ["--seconds", "1", "--out", codes]
  assert main(["prepare-data", audio, *parts, *options]) == 0
  return codes


@pytest.fixture(scope="module")
def start(codes):
  """Starts a training run of so many processes, one device each."""
  launchers = []

  def started(workdir, processes, steps=STEPS, every=STEPS):
    sizes = MESHES[processes].items()
    command = [
      "train",
      "--config=configs/tiny.py",
      f"--workdir={workdir}",
      f"--config.data.path={codes}",
      f"--config.train.steps={steps}",
      f"--config.train.eval_every={STEPS}",
      f"--config.train.checkpoint_every={every}",
      *(f"--config.mesh.{axis}={size}" for axis, size in sizes),
    ]
    launchers.append(
      subprocess.Popen(
        [
          *(sys.executable, "launch/local.py", "--processes", str(processes)),
          *("--", *command),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
      )
    )
    return launchers[-1]

  yield started
  for launcher in launchers:
    if launcher.poll() is None:
      launcher.terminate()
      launcher.wait()


def finish(launcher):
  output = launcher.communicate(timeout=600)[1]
  assert launcher.returncode == 0, output


def losses(workdir):
  with open(workdir / "metrics.csv", encoding="utf-8") as file:
    rows = [row for row in csv.DictReader(file) if row["train/loss"]]
  return [float(row["train/loss"]) for row in rows]


def trained(workdir):
  return checkpoint.restore_params(workdir)[1]


@pytest.fixture(scope="module")
def straight(start, tmp_path_factory):
  """Work directories of one process, and of two, that nothing disturbed."""
  workdirs = {}
  for processes in (1, 2):
    workdirs[processes] = tmp_path_factory.mktemp(f"straight-{processes}")
    finish(start(workdirs[processes], processes))
  return workdirs


def assert_close(workdir, expected):
  np.testing.assert_allclose(losses(workdir), losses(expected), atol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    trained(workdir),
    trained(expected),
  )


@pytest.mark.long
def test_two_processes_equal_one(straight):
  assert len(losses(straight[2])) == STEPS
  assert_close(straight[2], straight[1])


@pytest.mark.slow
def test_two_processes_measure_their_own_rollouts(tiny_bundle, tmp_path):
  """With a reward on the host they learn what one process learns."""
  (tmp_path / "own_rewards.py").write_text(
    "from siren_jax.alignment.rewards import OnHost\n\n"
    "@OnHost\ndef high(rollout):\n"
    "  return rollout.codes_BxNxT[:, 0].mean(-1)\n"
  )
  path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
  columns = "train/reward_own_rewards:high", "train/grad_norm"
  rows = []
  for processes in (1, 2):
    workdir = tmp_path / str(processes)
    subprocess.run(
      [
        *(sys.executable, "launch/local.py", "--processes", str(processes)),
        *("--", "align", "--config=configs/tiny_align.py"),
        f"--workdir={workdir}",
        f"--config.data.start={tiny_bundle}",
        "--config.alignment.rewards=('own_rewards:high',)",
        "--config.alignment.weights=(1.0,)",
        "--config.train.steps=1",
      ],
      cwd=ROOT,
      env=os.environ | {"PYTHONPATH": path},
      check=True,
      timeout=600,
    )
    with open(workdir / "metrics.csv", encoding="utf-8") as file:
      row = next(row for row in csv.DictReader(file) if row["train/loss"])
    rows.append([float(row[name]) for name in columns])
  assert min(rows[0]) > 0
  np.testing.assert_allclose(*rows, rtol=1e-3)


@pytest.mark.slow
def test_a_run_resumes_with_another_number_of_processes(
  start, straight, tmp_path
):
  for processes, steps in ((4, 7), (2, 13), (4, STEPS)):
    finish(start(tmp_path, processes, steps))
  assert_close(tmp_path, straight[1])


@pytest.mark.long
def test_sigterm_saves_at_one_step_and_exits_0(
  start, straight, wait_for, finished_step, tmp_path
):
  launcher = start(tmp_path, 2, every=1)
  wait_for(lambda: finished_step(tmp_path), launcher)
  launcher.terminate()
  finish(launcher)
  assert 0 < finished_step(tmp_path) < STEPS, "too late to prove anything"
  finish(start(tmp_path, 2))
  assert_same(tmp_path, straight[2])


@pytest.mark.parametrize(
  "kills",
  [
    pytest.param(1, marks=pytest.mark.long),
    pytest.param(20, marks=pytest.mark.slow),
  ],
)
def test_killed_process_costs_nothing(
  start, straight, wait_for, finished_step, tmp_path, kills
):
  dice, workdir = random.Random(kills), tmp_path / "killed"
  steps = max(STEPS, 3 * kills)
  for _ in range(kills):
    newest = finished_step(workdir)
    launcher = start(workdir, 2, steps, every=1)
    wait_for(lambda old=newest: finished_step(workdir) > old, launcher)
    time.sleep(dice.uniform(0, 0.2))
    os.kill(dice.choice(children(launcher)), signal.SIGKILL)
    output = launcher.communicate(timeout=60)[1]
    assert launcher.returncode == 128 + signal.SIGKILL, output
  finish(start(workdir, 2, steps))
  expected = straight[2]
  if steps > STEPS:
    expected = tmp_path / "straight"
    finish(start(expected, 2, steps))
  assert_same(workdir, expected)


def children(launcher) -> list[int]:
  path = f"/proc/{launcher.pid}/task/{launcher.pid}/children"
  return [int(pid) for pid in pathlib.Path(path).read_text().split()]


def assert_same(workdir, expected):
  jax.tree.map(
    np.testing.assert_array_equal, trained(workdir), trained(expected)
  )


@pytest.mark.parametrize("ends, code", [(0, 75), (None, 3)])
def test_a_stopped_run_is_told_from_a_finished_one(ends, code):
  """launch/resumable.sh, as Kubernetes runs it."""
  program = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    "print('ready', flush=True)\n"
    f"{'time.sleep(60)' if ends == 0 else 'sys.exit(3)'}"
  )
  process = subprocess.Popen(
    ["launch/resumable.sh", sys.executable, "-c", program],
    cwd=ROOT,
    stdout=subprocess.PIPE,
  )
  process.stdout.readline()
  if ends == 0:
    process.terminate()
  assert process.wait(timeout=30) == code


def test_a_slurm_job_saves_and_is_queued_again(tmp_path):
  """launch/slurm.sbatch, given the signal before its time is over.

  Slurm's commands are stand-ins: `srun` must not be signalled itself.
  """
  commands = {
    "srun": "trap 'exit 9' TERM; sleep 60 & echo $! > step; echo ready; wait",
    "scancel": 'echo scancel "$@" >> told; kill "$(cat step)"',
    "scontrol": 'echo scontrol "$@" >> told',
  }
  for name, body in commands.items():
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{body}; exit 0\n")
    path.chmod(0o755)
  activate = tmp_path / ".venv/bin/activate"
  activate.parent.mkdir(parents=True)
  activate.touch()
  process = subprocess.Popen(
    ["bash", ROOT / "launch/slurm.sbatch", "train"],
    env=os.environ
    | {
      "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
      "SLURM_JOB_ID": "7",
      "SLURM_SUBMIT_DIR": str(tmp_path),
    },
    stdout=subprocess.PIPE,
  )
  process.stdout.readline()
  process.terminate()
  assert process.wait(timeout=30) == 0
  output = (tmp_path / "told").read_text().splitlines()
  assert output == ["scancel --signal=TERM 7", "scontrol requeue 7"]
