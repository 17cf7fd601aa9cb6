"""metrics.csv across restarts, and the plain progress lines."""

import csv

import pytest

from siren_jax.common.errors import UserError
from siren_jax.common.metrics import MetricWriter, Progress


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


def test_tensorboard_events_exist(tmp_path):
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


def test_plain_lines_without_a_terminal(capsys):
  progress = Progress(100, 10, "train")
  progress.advance(11)
  progress.advance(20, {"loss": 1.25})
  progress.say("hello")
  progress.close()
  line, hello = capsys.readouterr().err.splitlines()
  assert line.startswith("train 20/100  loss 1.25  ")
  assert line.endswith(" left")
  assert hello == "hello"
