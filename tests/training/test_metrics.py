"""metrics.csv across restarts, and the plain progress lines."""

import csv
import io
import os
import pathlib
import sys
import types

import numpy as np
import pytest
import soundfile

from siren_jax.common.errors import UserError
from siren_jax.training.metrics import MetricWriter, Progress


def rows(workdir):
  with (workdir / "metrics.csv").open() as file:
    return list(csv.DictReader(file))


def write(workdir, step, *entries):
  writer = MetricWriter(workdir, step)
  for entry in entries:
    writer.write(*entry)
  writer.close()


def test_one_row_a_step_whatever_comes(tmp_path):
  write(
    tmp_path, 0, (1, {"loss": 2.0}), (2, {"loss": 1.5}),
    (2, {"eval": 3.0}), (3, {"loss": 1.0}),
  )  # fmt: skip
  assert rows(tmp_path) == [
    {"step": "1", "loss": "2", "eval": ""},
    {"step": "2", "loss": "1.5", "eval": "3"},
    {"step": "3", "loss": "1", "eval": ""},
  ]


def test_resuming_drops_rows_of_lost_steps_and_half_lines(tmp_path):
  write(tmp_path, 0, *((s, {"loss": s, "norm": 1}) for s in (1, 2, 3)))
  with (tmp_path / "metrics.csv").open("a") as file:
    file.write("4,0.")
  write(tmp_path, 2, (3, {"loss": 30, "norm": 1}))
  assert [(r["step"], r["loss"]) for r in rows(tmp_path)] == [
    ("1", "1"),
    ("2", "2"),
    ("3", "30"),
  ]


def test_metrics_of_a_run_that_left_no_checkpoint_are_kept(tmp_path):
  write(tmp_path, 0, (1, {"loss": 2.0}))
  lost = (tmp_path / "metrics.csv").read_text()
  writer = MetricWriter(tmp_path, 0)
  writer.write(1, {"loss": 3.0})
  writer.close()
  assert writer.kept == tmp_path / "metrics.previous.csv"
  assert writer.kept.read_text() == lost
  assert [r["loss"] for r in rows(tmp_path)] == ["3"]
  assert MetricWriter(tmp_path, 1).kept is None
  again = MetricWriter(tmp_path, 0).kept
  assert again == tmp_path / "metrics.previous-2.csv"
  assert again.read_text() != writer.kept.read_text() == lost


@pytest.mark.parametrize(
  "content", [b"epoch,loss\none,2\n", b"\xff,x\n\xff,1\n"]
)
def test_metrics_of_something_else_are_left_alone(tmp_path, content):
  path = tmp_path / "metrics.csv"
  path.write_bytes(content)
  with pytest.raises(UserError, match="not the metrics of a run"):
    MetricWriter(tmp_path, 0)
  assert path.read_bytes() == content


def test_tensorboard_gets_sounds_and_their_pictures(tmp_path, toy):
  writer = MetricWriter(tmp_path, 0)
  loud = np.stack([np.zeros(800), 2 * np.sin(np.arange(800))])
  writer.write_sounds(3, {"made": loud, "none": loud[:0]}, 8000)
  writer.close()
  values = {(s, v.tag): v for s, v in toy.summaries(tmp_path)}
  tags = ("sound_0/made", "sound_1/made")
  assert set(values) == {(3, tag) for tag in tags}
  audio = [v for _, v in toy.summaries(tmp_path) if v.HasField("audio")]
  pictures = [v for _, v in toy.summaries(tmp_path) if v.HasField("image")]
  assert [v.tag for v in audio] == [v.tag for v in pictures] == list(tags)
  decoded, rate = soundfile.read(
    io.BytesIO(audio[1].audio.encoded_audio_string)
  )
  assert rate == 8000
  np.testing.assert_allclose(decoded, np.clip(loud[1], -1, 1), atol=1e-3)


def test_tensorboard_gets_the_metrics(tmp_path):
  write(tmp_path, 0, (1, {"loss": 2.0}))
  (events,) = (tmp_path / "tensorboard").iterdir()
  assert b"loss" in events.read_bytes()


def test_full_disk_is_one_line(tmp_path, monkeypatch):
  writer = MetricWriter(tmp_path, 0)

  def full(step):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(writer, "_append", full)
  monkeypatch.setattr(writer, "_rewrite", lambda: full(0))
  with pytest.raises(UserError, match="No space left on device; make room"):
    writer.write(1, {"loss": 1.0})
  writer.close()


def test_a_disk_that_is_full_for_tensorboard_is_one_line(tmp_path):
  writer = MetricWriter(tmp_path, 0)
  with open("/dev/full", "wb") as full:
    os.dup2(full.fileno(), _descriptor(tmp_path / "tensorboard"))
  for _ in range(3):  # a thread that has died would block the third
    with pytest.raises(UserError, match="No space left on device; make room"):
      writer.write_sounds(1, {"made": np.zeros((2, 80_000))}, 16_000)
    with pytest.raises(UserError, match="No space left on device; make room"):
      writer.write(1, {"loss": 1.0})
  writer.close()


def _descriptor(folder):
  """Of the open file in a folder."""
  (file,) = folder.iterdir()
  (number,) = (
    int(link.name)
    for link in pathlib.Path("/proc/self/fd").iterdir()
    if link.exists() and link.samefile(file)
  )
  return number


def test_without_a_terminal_progress_is_plain_lines(capsys):
  progress = Progress(100, 10, "train")
  progress.advance(11)
  progress.advance(20, {"loss": 1.25})
  progress.print("hello")
  progress.close()
  line, hello = capsys.readouterr().err.splitlines()
  assert line.startswith("train 20/100  loss 1.25  ")
  assert line.endswith(" left")
  assert hello == "hello"


class Clock:
  now = 0.0

  def __call__(self):
    return self.now

  def steps(self, progress, numbers, seconds):
    for step in numbers:
      self.now += seconds
      progress.advance(step)


def test_rate_and_time_left_are_those_of_steps_alone(capsys):
  clock = Clock()
  progress = Progress(100, 50, "train", clock)  # resumed at step 50
  with progress.pause():
    clock.now += 60  # compiling
  clock.now += 7  # reading the first batch
  clock.steps(progress, range(51, 56), 0.5)
  with progress.pause():
    clock.now += 1000  # evaluating, for the first time with compiling
  clock.steps(progress, range(56, 60), 0.5)
  with progress.pause():
    clock.now += 300  # waiting for a checkpoint
  clock.now += 0.5
  progress.advance(60, {"loss": 1.0})
  line = capsys.readouterr().err.strip()
  assert line == "train 60/100  loss 1  2 steps/s, 0:00:20 left"


def test_no_rate_before_two_steps(capsys):
  clock = Clock()
  progress = Progress(100, 50, "train", clock)
  clock.now += 5
  progress.advance(51, {"loss": 1.0})
  assert capsys.readouterr().err == "train 51/100  loss 1\n"


@pytest.mark.parametrize("place", ["a terminal", "a notebook"])
def test_the_bar_shows_the_same(place, monkeypatch, capsys):
  if place == "a terminal":
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
  else:  # Its kernel's; widgets are not there, so tqdm writes text.
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
  clock = Clock()
  progress = Progress(10, 0, "train", clock)
  with progress.pause():
    clock.now += 60
  clock.steps(progress, range(1, 5), 0.5)
  clock.now += 0.5
  progress.advance(5, {"loss": 1.0})
  progress.close()
  assert "loss 1  2 steps/s, 0:00:02 left" in capsys.readouterr().err
