import os
import resource

import pytest

from siren_jax.common.errors import UserError
from siren_jax.common.files import new_folder, replacing


def test_writes_and_makes_folders(tmp_path):
  path = tmp_path / "new" / "a.bin"
  for content in (b"one", b"two"):
    with replacing(path) as file:
      file.write(content)
      assert not path.exists() or path.read_bytes() == b"one"
    assert path.read_bytes() == content
  assert os.listdir(path.parent) == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_keeps_the_old_file(tmp_path, error):
  path = tmp_path / "a.bin"
  path.write_bytes(b"old")
  with pytest.raises(error), replacing(path) as file:
    file.write(b"half")
    raise error
  assert path.read_bytes() == b"old"
  assert os.listdir(tmp_path) == ["a.bin"]


def test_full_disk_is_one_line(tmp_path):
  path = tmp_path / "a.bin"
  path.write_bytes(b"old")
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
  try:
    with (
      pytest.raises(UserError, match="cannot write") as caught,
      replacing(path) as file,
    ):
      file.write(bytes(100_000))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert "\n" not in str(caught.value)
  assert path.read_bytes() == b"old"
  assert os.listdir(tmp_path) == ["a.bin"]


def test_not_a_folder(tmp_path):
  (tmp_path / "file").write_text("x")
  with (
    pytest.raises(UserError, match="cannot write"),
    replacing(tmp_path / "file" / "a.bin"),
  ):
    pass


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
  home = tmp_path / "deep" / "down"
  with pytest.raises(ValueError), new_folder(home) as folder:
    (folder / "half").write_text("x")
    raise ValueError
  assert os.listdir(home.parent) == []
  with new_folder(home) as folder:
    (folder / "whole").write_text("x")
    assert not home.exists()
  assert os.listdir(home.parent) == ["down"]
  assert os.listdir(home) == ["whole"]
