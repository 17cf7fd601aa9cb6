"""One holder at a time; what a killed one leaves behind is no obstacle."""

import fcntl
import os
import pathlib
import subprocess
import sys

import pytest

from siren_jax.common.errors import UserError
from siren_jax.storage.lock import exclusive

HOLD = """
import sys
from siren_jax.storage.lock import exclusive
with exclusive(sys.argv[1], "the folder"):
  print("held", flush=True)
  sys.stdin.read()
"""


def test_a_second_holder_is_refused_and_the_first_is_named(tmp_path):
  path = tmp_path / "new" / ".lock"
  with exclusive(path, "the folder"):
    with pytest.raises(UserError) as error, exclusive(path, "the folder"):
      pass
  message = str(error.value)
  assert f"the folder is in use by process {os.getpid()} on " in message
  assert " since 2" in message and str(path) in message
  assert not path.exists()
  with exclusive(path, "the folder"):
    pass


def test_a_killed_holder_leaves_no_lock(tmp_path):
  path = tmp_path / ".lock"
  process = subprocess.Popen(
    [sys.executable, "-c", HOLD, path],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b"held\n"
  with pytest.raises(UserError, match=f"process {process.pid} on"):
    with exclusive(path, "the folder"):
      pass
  process.kill()
  process.wait()
  assert path.exists()
  with exclusive(path, "the folder"):
    pass
  assert not path.exists()


def test_a_holder_that_leaves_between_two_looks_is_no_error(
  tmp_path, monkeypatch
):
  path, flock = tmp_path / ".lock", fcntl.flock
  leavers = [path.unlink]

  def lock(file, operation):
    flock(file, operation)
    if leavers:
      leavers.pop()()

  monkeypatch.setattr(fcntl, "flock", lock)
  monkeypatch.setattr(pathlib.Path, "exists", lambda self: True)  # just before
  with exclusive(path, "the folder"):
    assert os.path.exists(path)


def test_a_lock_file_that_cannot_be_opened_is_refused(tmp_path):
  (tmp_path / ".lock").mkdir()
  with pytest.raises(UserError, match="the folder: cannot write"):
    with exclusive(tmp_path / ".lock", "the folder"):
      pass


def test_folders_that_stay_empty_go_again(tmp_path):
  with exclusive(tmp_path / "a" / "b" / ".lock", "the folder"):
    pass
  assert not (tmp_path / "a").exists()
  with exclusive(tmp_path / "a" / "b" / ".lock", "the folder"):
    (tmp_path / "a" / "file").touch()
  assert [p.name for p in (tmp_path / "a").iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match="the folder: cannot write"):
    with exclusive(tmp_path / "file" / ".lock", "the folder"):
      pass
