"""The whole path through the command line, each step a process of its own."""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import soundfile

import siren_jax
from siren_jax.cli.main import main
from siren_jax.storage import checkpoint

pytestmark = pytest.mark.long
ROOT = pathlib.Path(__file__).parents[1]
KILL_STEPS = 24
# What of a run can be heard in TensorBoard.
SOUNDS = {
  "codec": ["recording", "reconstruction"],
  "clap": [],
  "experts": ["recording", "generated"],
  "align": ["generated"],
}


def command(*args):
  """`siren-jax ARGS` on one device, compiled as all tests are."""
  flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")
  return {
    "args": [sys.executable, "-m", "siren_jax", *map(str, args)],
    "env": os.environ | {"XLA_FLAGS": flags},
    "cwd": ROOT,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "text": True,
  }


def run(*args) -> str:
  done = subprocess.run(**command(*args))
  assert done.returncode == 0, done.stdout
  return done.stdout


@pytest.fixture
def inspect(capsys):
  """What `siren-jax inspect` prints; in this process, as it trains nothing."""

  def inspect(*args) -> str:
    capsys.readouterr()
    assert main(["inspect", *map(str, args)]) == 0
    return capsys.readouterr().out

  return inspect


def train(verb, config, data, workdir, *overrides):
  return (
    verb,
    f"--config=configs/{config}.py",
    f"--workdir={workdir}",
    f"--config.data.path={data}",
    *overrides,
  )


def align(start, workdir, *overrides):
  return (
    "align",
    "--config=configs/tiny_align.py",
    f"--workdir={workdir}",
    f"--config.data.start={start}",
    *overrides,
  )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Folder with audio, codec, clap, codes, experts and bundle, all tiny."""
  runs = tmp_path_factory.mktemp("runs")
  audio, codes = runs / "audio", runs / "codes"
  codec, clap = runs / "codec", runs / "clap"
  run("prepare-data", "--synthetic", 24, "--seconds", 1, "--out", audio)
  done = run(*train("train-codec", "tiny_codec", audio, codec))
  assert "try next: siren-jax train-clap --config=nano_clap" in done
  done = run(*train("train-clap", "tiny_clap", audio, clap))
  assert f"try next: siren-jax prepare-data {audio} --codec" in done
  run(
    "prepare-data", audio, "--codec", codec, "--clap", clap, "--seconds", 1,
    "--out", codes,
  )  # fmt: skip
  done = run(*train("train", "tiny", codes, runs / "experts"))
  assert f"try next: siren-jax export --experts {runs / 'experts'}" in done
  (runs / "notes.md").write_text("## Data\n\nMade-up sounds only.\n")
  run(
    "export", "--experts", runs / "experts", "--name", "mine",
    "--notes", runs / "notes.md", "--max-seconds", 1, "--guidance", 2,
    "--out", runs / "bundle",
  )  # fmt: skip
  return runs


def test_a_sound_comes_out(runs, tmp_path):
  out = run(
    "generate", "a low beep", "--seconds", 0.5, "--out", tmp_path / "x.wav",
    "--model", runs / "bundle",
  )  # fmt: skip
  audio_S, rate = soundfile.read(tmp_path / "x.wav")
  assert (len(audio_S), rate) == (8000, 16000)
  assert np.isfinite(audio_S).all()
  sidecar = json.loads((tmp_path / "x.json").read_text())
  assert sidecar["model"] == "mine"
  assert sidecar["settings"]["guidance"] == 2
  assert str(tmp_path / "x.wav") in out


def test_the_bundle_holds_what_was_trained(runs):
  bundle = siren_jax.load(runs / "bundle").bundle
  _, params, extra = checkpoint.restore_params(runs / "experts")
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
    bundle.params,
    {"params": params, **extra},
  )
  card = (runs / "bundle" / "README.md").read_text()
  assert "Made-up sounds only." in card
  assert "16000 Hz" in card


@pytest.fixture(scope="module")
def aligned(runs):
  """What `align` printed; its work directory is runs / "align"."""
  return run(*align(runs / "bundle", runs / "align"))


def test_alignment_makes_a_bundle(runs, aligned, inspect, tmp_path):
  folder = runs / "align" / "bundle-4"
  assert f"--model {folder}" in aligned
  for metric in ("reward", "kl", "clip_fraction", "diversity"):
    assert f"train/{metric} " in aligned
  before = siren_jax.load(runs / "bundle").bundle
  after = siren_jax.load(folder).bundle
  assert (after.name, after.sampling) == ("mine-aligned", before.sampling)
  heads, old = (b.params["params"]["heads"] for b in (after, before))
  assert (heads[0] != old[0]).any()  # the policy
  np.testing.assert_array_equal(heads[1], old[1])
  card = (folder / "README.md").read_text()
  assert "deep_likelihood (weight 0.5)" in card
  assert "Made-up sounds only." in card
  run("generate", "a beep", "--model", folder, "--out", tmp_path / "x.wav",
      "--seconds", 0.5)  # fmt: skip
  assert "mine" in inspect(runs / "align")


def test_alignment_of_a_work_directory(runs, tmp_path):
  # A bundle of another run does not pass for the result.
  shutil.copytree(runs / "bundle", tmp_path / "bundle-4")
  out = run(*align(runs / "experts", tmp_path, "--name=other"))
  assert siren_jax.load(tmp_path / "bundle-4-2").bundle.name == "other"
  again = run(*align(runs / "experts", tmp_path, "--name=other"))
  assert "bundle-4-2 already exists" in again
  assert "train/reward" in out


def test_alignment_stopped_and_resumed_ends_the_same(runs, aligned, tmp_path):
  arguments = align(runs / "bundle", tmp_path)
  run(*arguments, "--config.train.steps=2")
  run(*arguments)
  (_, whole, _), (_, parts, _) = (
    checkpoint.restore_params(folder) for folder in (runs / "align", tmp_path)
  )
  jax.tree.map(np.testing.assert_array_equal, whole, parts)
  assert "already exists" in run(*arguments)


def test_alignment_that_cannot_be(runs, tmp_path, user_error):
  long = "--config.alignment.seconds=3.0"
  message = user_error(align(runs / "bundle", tmp_path / "w", long))
  assert "at most 1.0 seconds" in message
  message = user_error(align(tmp_path / "nowhere", tmp_path / "w"))
  assert "nowhere" in message
  message = user_error(
    align(runs / "bundle", tmp_path / "w", "--config.data.synthetic=0",
          "--config.alignment.rewards=('clap',)",
          "--config.alignment.weights=(1.0,)")
  )  # fmt: skip
  assert "data.path" in message


def test_another_codec_does_not_fit(runs, tmp_path, user_error):
  other = tmp_path / "codec"
  seed = "--config.train.seed=5"
  run(*train("train-codec", "tiny_codec", runs / "audio", other, seed))
  message = user_error(
    ["export", "--experts", runs / "experts", "--codec", other, "--name", "x",
     "--out", tmp_path / "bundle"]
  )  # fmt: skip
  assert "another codec" in message
  assert not (tmp_path / "bundle").exists()


def test_every_run_left_metrics_and_can_be_inspected(runs, inspect):
  for name in ("codec", "clap", "experts"):
    with (runs / name / "metrics.csv").open(newline="") as file:
      rows = list(csv.DictReader(file))
    assert [r["step"] for r in rows] == ["1", "2", "3", "4"]
    assert all(np.isfinite(float(r["train/loss"])) for r in rows)
    (events,) = (runs / name / "tensorboard").iterdir()
    for sound in SOUNDS[name]:
      assert f"sound_1/{sound}".encode() in events.read_bytes()
    out = inspect(runs / name)
    assert "step 4 of 4" in out
    assert "total" in out
  assert "codec" in inspect(runs / "bundle", "--full")


def test_running_again_changes_nothing(runs):
  before = checkpoint.restore_params(runs / "experts")[1]
  run(*train("train", "tiny", runs / "codes", runs / "experts"))
  after = checkpoint.restore_params(runs / "experts")[1]
  jax.tree.map(np.testing.assert_array_equal, before, after)


def test_training_continues_from_a_bundle(runs, tmp_path, user_error):
  start = f"--config.data.start={runs / 'bundle'}"
  slow = "--config.optimizer.learning_rate=1e-7"
  run(*train("train", "tiny", runs / "codes", tmp_path / "on", start, slow))
  _, params, _ = checkpoint.restore_params(tmp_path / "on")
  before = siren_jax.load(runs / "bundle").bundle.params["params"]
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params, before
  )
  other = "--config.experts.temporal_layers=2"
  message = user_error(
    train("train", "tiny", runs / "codes", tmp_path / "no", start, other)
  )
  assert "temporal_layers=1" in message


def test_experts_must_fit_the_code_set(runs, tmp_path, user_error):
  for override, message in (
    ("--config.experts.feature_dim=24", "feature_dim=16"),
    ("--config.experts.prompt_dim=24", "prompt_dim=16"),
  ):
    verb = train("train", "tiny", runs / "codes", tmp_path / "w", override)
    assert message in user_error(verb)


def test_a_killed_run_ends_like_one_that_was_not(runs, tmp_path):
  """SIGKILL after a checkpoint, in the middle of what comes after it."""
  lengths = [
    f"--config.train.steps={KILL_STEPS}",
    f"--config.optimizer.steps={KILL_STEPS}",
    "--config.train.checkpoint_every=3",
  ]

  def arguments(name):
    return train("train", "tiny", runs / "codes", tmp_path / name, *lengths)

  run(*arguments("whole"))
  process = subprocess.Popen(**command(*arguments("killed")))
  deadline = time.monotonic() + 120
  while not (tmp_path / "killed" / "checkpoints" / "6").is_dir():
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  assert process.returncode == -signal.SIGKILL
  run(*arguments("killed"))
  (_, whole, _), (_, killed, _) = (
    checkpoint.restore_params(tmp_path / name) for name in ("whole", "killed")
  )
  jax.tree.map(np.testing.assert_array_equal, whole, killed)
