"""What a training verb checks before it compiles anything."""

import contextlib
import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from siren_jax import training
from siren_jax.clap.task import ClapLossConfig
from siren_jax.cli.main import main
from siren_jax.cli.runs import run_experiment
from siren_jax.common.errors import UserError
from siren_jax.data.preparation import audio
from siren_jax.experiments import codec, config_files
from siren_jax.experiments.clap import ClapDataConfig, ClapExperiment
from siren_jax.storage import run_config
from siren_jax.storage.lock import exclusive

CONFIGS = pathlib.Path(__file__).parents[3] / "configs"


def prepare_set(out, count=4, seed=0):
  config = audio.AudioConfig(seconds=1.0, synthetic=count, seed=seed)
  audio.prepare_audio([], out, config, overwrite=True)


@pytest.fixture(scope="module")
def audio_set(tmp_path_factory):
  out = tmp_path_factory.mktemp("data") / "audio"
  prepare_set(out)
  return out


@pytest.fixture
def run(tmp_path, audio_set, monkeypatch):
  """Runs train-codec up to the trainer, which only records the config."""
  shutil.copytree(audio_set, tmp_path / "audio")

  def train(task, config, mesh, data, eval_data, workdir, config_json):

    step = workdir / "checkpoints" / str(config.steps)
    if note := run_config.record(workdir, config_json, step.parent.is_dir()):
      print(note)
    step.mkdir(parents=True, exist_ok=True)

  monkeypatch.setattr(training, "train", train)

  def argv(*overrides, path="audio"):
    return [
      "train-codec",
      f"--config={CONFIGS / 'tiny_codec.py'}",
      f"--workdir={tmp_path / 'run'}",
      f"--config.data.path={tmp_path / path}",
      *overrides,
    ]

  return argv


def test_a_set_prepared_anew_is_refused(run, user_error, tmp_path):
  assert main(run()) == 0
  prepare_set(tmp_path / "audio")  # the same again
  assert main(run()) == 0
  for changed in (dict(seed=1), dict(count=3)):
    prepare_set(tmp_path / "audio", **changed)
    message = user_error(run())
    assert f"data.path='{tmp_path / 'audio'}' has different contents" in message
    assert "use that again, or choose another work directory" in message


def test_a_set_that_moved_is_the_same(run, user_error, tmp_path, capsys):
  assert main(run()) == 0
  (tmp_path / "audio").rename(tmp_path / "moved")
  assert main(run(path="moved")) == 0
  out = capsys.readouterr().out
  assert f"data.path='{tmp_path / 'moved'}' (was " in out
  prepare_set(tmp_path / "audio", seed=2)
  assert "has different contents" in user_error(run())


def test_a_set_that_is_not_there_is_named(run, user_error, tmp_path):
  message = user_error(run(path="none"))
  assert f"{tmp_path / 'none'}: no prepared data set here" in message
  assert not (tmp_path / "run").exists()


def test_another_start_at_its_path_is_refused(
  run, user_error, tmp_path, monkeypatch
):

  monkeypatch.setattr(codec, "start_of", lambda e: None)
  start = tmp_path / "start"
  start.mkdir()
  (start / "codec.safetensors").write_bytes(b"one")
  (start / "config.json").write_text("{}")
  given = f"--config.data.start={start}"
  assert main(run(given)) == 0
  assert main(run(given)) == 0
  (start / "codec.safetensors").write_bytes(b"two")
  assert "data.start=" in user_error(run(given))


def test_a_start_that_trained_on_is_no_other(
  run, user_error, tmp_path, monkeypatch
):

  monkeypatch.setattr(codec, "start_of", lambda e: None)
  start = tmp_path / "start"

  def train_to(step):
    sums = start / "checkpoints" / str(step) / "sums" / "metadata"
    sums.parent.mkdir(parents=True)
    sums.write_text(str(step))

  train_to(1)
  given = f"--config.data.start={start}"
  assert main(run(given)) == 0
  config = (tmp_path / "run" / "config.json").read_text()
  train_to(2)
  assert main(run(given)) == 0
  assert (tmp_path / "run" / "config.json").read_text() == config
  start.rename(tmp_path / "moved")
  moved = f"--config.data.start={tmp_path / 'moved'}"
  assert "has different contents" in user_error(run(moved))
  shutil.rmtree(tmp_path / "moved" / "checkpoints" / "2")
  assert main(run(moved)) == 0


def test_a_start_that_is_still_read_may_not_train_on(
  run, user_error, tmp_path, monkeypatch
):
  """As that of a locked text tower, whose prompts are embedded anew."""
  monkeypatch.setattr(codec, "start_of", lambda e: None)
  monkeypatch.setattr(codec.CodecExperiment, "reads_start", True)
  start = tmp_path / "start"
  given = f"--config.data.start={start}"
  for step in ("1", "2"):
    sums = start / "checkpoints" / step / "sums" / "metadata"
    sums.parent.mkdir(parents=True)
    sums.write_text(step)
    if step == "1":
      assert main(run(given)) == 0
  assert "has different contents" in user_error(run(given))


def test_a_locked_text_tower_is_still_read():
  def reads_start(lock_text):
    data = ClapDataConfig(path="set", start="text")
    loss = ClapLossConfig(lock_text=lock_text)
    return ClapExperiment(loss=loss, data=data).reads_start

  assert reads_start(True) and not reads_start(False)


def test_a_set_that_is_replaced_during_a_run_is_noticed(
  run, user_error, tmp_path, monkeypatch
):
  def train(task, config, mesh, train_data, eval_data, *_):
    eval_data()
    prepare_set(tmp_path / "audio", seed=2)
    eval_data()

  monkeypatch.setattr(training, "train", train)
  assert "another data set took its place" in user_error(run())


def test_free_changes_are_reported_and_the_schedule_is_not_free(
  run, user_error, capsys
):
  assert main(run()) == 0
  assert "optimizer.steps" in user_error(run("--config.optimizer.steps=9"))
  capsys.readouterr()
  assert main(run("--config.train.steps=9", "--config.train.keep=5")) == 0
  output = capsys.readouterr()
  assert "train.keep=5 (was 3), train.steps=9 (was 4)" in output.out
  assert "4 updates (optimizer.steps), but training runs 9" in output.err


def test_a_run_of_an_older_version_resumes_with_a_note(run, tmp_path, capsys):
  assert main(run()) == 0
  path = tmp_path / "run" / "config.json"
  values = json.loads(path.read_text())
  assert values.pop("inputs")
  path.write_text(json.dumps(values))
  assert main(run()) == 0
  assert "kept no fingerprint of data.path" in capsys.readouterr().out
  assert "inputs" in json.loads(path.read_text())


def test_one_process_a_work_directory(run, user_error, tmp_path):
  with exclusive(tmp_path / "run" / ".lock", "test"):
    message = user_error(run())
  assert f"run is in use by process {os.getpid()} on" in message
  assert main(run()) == 0
  assert not (tmp_path / "run" / ".lock").exists()


def test_the_lock_comes_before_what_it_guards(run, user_error, tmp_path):
  assert main(run()) == 0
  (tmp_path / "run" / "config.json").write_text("half of it")
  with exclusive(tmp_path / "run" / ".lock", "test"):
    assert "is in use by" in user_error(run())


@pytest.mark.parametrize("failed", [[True, False], [False, False]])
def test_a_process_that_cannot_begin_stops_the_others(failed, monkeypatch):
  failures = []

  def gather(failure):
    failures.append(failure)
    return np.array(failed)

  monkeypatch.setattr(jax, "process_count", lambda: 2)
  monkeypatch.setattr(multihost_utils, "process_allgather", gather)
  own = UserError("it is broken")
  with pytest.raises(UserError) as error, run_experiment._agreed():
    raise own
  assert error.value is own
  stops = pytest.raises(UserError, match="process 0 of 2 cannot start")
  with stops if any(failed) else contextlib.nullcontext():
    with run_experiment._agreed():
      pass
  assert failures == [True, False]


def test_steps_of_training_move_the_schedule(capsys):
  nano = str(CONFIGS / "nano.py")
  experiment = config_files.from_file(nano, ["--config.train.steps=600"])
  assert experiment.schedule.steps == 600
  align = str(CONFIGS / "align_nano.py")
  overrides = ["--config.train.steps=9", "--config.alignment.minibatches=2"]
  overrides.append("--config.optimizer.warmup_steps=1")
  assert config_files.from_file(align, overrides).schedule.steps == 18
  explicit = ["--config.train.steps=600", "--config.optimizer.steps=700"]
  assert config_files.from_file(nano, explicit).schedule.steps == 700


def test_a_shortened_warm_up_is_reported_once(run, capsys, caplog):
  settings = ["--config.optimizer.steps=0", "--config.optimizer.warmup_steps=9"]
  for _ in range(2):  # begun, and resumed
    assert main(run(*settings)) == 0
    err = capsys.readouterr().err + caplog.text
    assert err.count("warm-up of") == 1
    assert "warm-up of 0 updates instead of 9" in err


def test_a_begun_schedule_stays(run, tmp_path, user_error, capsys):
  natural = "--config.optimizer.steps=0"
  assert main(run(natural)) == 0
  assert "learning-rate schedule" not in capsys.readouterr().err
  assert main(run(natural, "--config.train.steps=8")) == 0
  assert "schedule has 4 updates" in capsys.readouterr().err
  values = json.loads((tmp_path / "run" / "config.json").read_text())
  assert values["optimizer"]["steps"] == 4


def test_a_warm_up_longer_than_its_schedule_is_refused(
  run, user_error, tmp_path
):
  short = ["--config.optimizer.steps=4", "--config.optimizer.warmup_steps=4"]
  assert "warmup_steps=4" in user_error(run(*short))
  assert not (tmp_path / "run").exists()
