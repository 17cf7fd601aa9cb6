import errno
import os
import resource

import pytest

from siren_jax.common import files
from siren_jax.common.errors import UserError
from siren_jax.common.files import (
  new_folder,
  read_json,
  read_npz,
  replacing,
  unused,
)


def test_a_file_is_replaced_whole_and_its_folders_are_made(tmp_path):
  path = tmp_path / "new" / "a.bin"
  for content in (b"one", b"two"):
    with replacing(path) as file:
      file.write(content)
      assert not path.exists() or path.read_bytes() == b"one"
    assert path.read_bytes() == content
  assert os.listdir(path.parent) == ["a.bin"]


@pytest.mark.parametrize("count", [242, 255])
def test_the_longest_names_can_be_written(tmp_path, count):
  path = tmp_path / ("x" * count)
  with replacing(path) as file:
    file.write(b"whole")
  assert path.read_bytes() == b"whole"
  path.unlink()
  with new_folder(path) as folder:
    (folder / "a").touch()
  assert os.listdir(path) == ["a"]


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


def test_an_error_of_the_block_is_not_of_the_file(tmp_path):
  with pytest.raises(FileNotFoundError, match="font"):
    with replacing(tmp_path / "a.png"):
      (tmp_path / "font.ttf").open()
  with pytest.raises(UserError, match=r"a\.png: cannot write \(No space"):
    with replacing(tmp_path / "a.png"):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
  assert os.listdir(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
  (tmp_path / "file").write_text("x")
  with (
    pytest.raises(UserError, match="cannot write"),
    replacing(tmp_path / "file" / "a.bin"),
  ):
    pass


def test_a_folder_may_be_named_by_a_link(tmp_path):
  (tmp_path / "there").mkdir()
  (tmp_path / "link").symlink_to("there")
  with new_folder(tmp_path / "link") as folder:
    (folder / "whole").write_text("x")
  assert os.listdir(tmp_path / "there") == ["whole"]
  assert (tmp_path / "link").is_symlink()


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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_in_every_encoding_that_json_knows(encoding, tmp_path):
  path = tmp_path / "a.json"
  path.write_text('{"é": [1, 2.5, null]}', encoding)
  assert read_json(path, "") == {"é": [1, 2.5, None]}


@pytest.mark.parametrize(
  ("data", "message"),
  [
    (b'{"a": 1, "b": 2, "a": 3}', "duplicate key 'a'"),
    (b'{"a": NaN}', "NaN is not a finite number"),
    (b'{"a": -Infinity}', "-Infinity is not a finite"),
    (b'{"a": 1e999}', "1e999 is not a finite"),
    (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
    (b'{"a": "\xff"}', "not JSON.*decode"),
    (b"[" * 100_000, "not JSON"),
    (b'{"a": 1', "not JSON"),
    (b"", "an empty file"),
    (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    (b"<!doctype html><title>404</title>", "web page"),
  ],
)
def test_json_that_is_none_is_one_line(data, message, tmp_path):
  path = tmp_path / "a.json"
  path.write_bytes(data)
  with pytest.raises(UserError, match=rf"a\.json.*{message}.*; get it$"):
    read_json(path, "get it")


def test_json_that_is_missing_or_a_folder_is_refused(tmp_path):
  (tmp_path / "file").touch()
  for path in (tmp_path / "a.json", tmp_path / "file" / "a.json"):
    with pytest.raises(UserError, match="no such file; get it"):
      read_json(path, "get it")
  with pytest.raises(UserError, match="cannot be read"):
    read_json(tmp_path, "get it")


@pytest.mark.parametrize(
  ("data", "message"),
  [
    (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    (b"<html>", "web page"),
    (b"", "an empty file"),
  ],
)
def test_a_stand_in_of_an_npz_is_named(data, message, tmp_path):
  path = tmp_path / "a.npz"
  path.write_bytes(data)
  with pytest.raises(
    UserError, match=rf"a\.npz: not a valid npz \(.*{message}"
  ):
    read_npz(path, "")


def test_an_npz_that_is_missing_is_refused(tmp_path):
  (tmp_path / "file").touch()
  for path in (tmp_path / "a.npz", tmp_path / "file" / "a.npz"):
    with pytest.raises(UserError, match="no such file; get it$"):
      read_npz(path, "get it")


def test_half_an_npz_is_not_called_a_zip_archive(tmp_path):
  path = tmp_path / "a.npz"
  path.write_bytes(b"PK\x03\x04half")
  with pytest.raises(UserError) as raised:
    read_npz(path, "")
  assert "zip archive" not in str(raised.value)


def test_names_of_255_bytes_are_written_beside_each_other(tmp_path):
  wanted = tmp_path / ("\u00e4" * 125 + "x.npz")
  assert len(wanted.name.encode()) == 255
  written = []
  for content in (b"first", b"second"):
    with unused(wanted) as path, replacing(path) as file:
      file.write(content)
    written.append(path)
  assert [path.read_bytes() for path in written] == [b"first", b"second"]
  folder = tmp_path / ("x" * 255)
  with new_folder(folder) as new:
    (new / "a").touch()
  assert sorted(tmp_path.iterdir()) == sorted([*written, folder])


def test_a_folder_that_is_a_file_is_refused(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match="cannot write"):
    with unused(tmp_path / "file" / "x.wav"):
      pass


def test_a_block_that_fails_leaves_the_files_of_others(tmp_path):
  (tmp_path / "x.ogg").write_text("yours")
  with pytest.raises(KeyError):
    with unused(tmp_path / "x.wav", [".json"], [".ogg", ".wav"]) as path:
      assert path.name == "x-2.wav" and path.with_suffix(".json").exists()
      raise KeyError
  assert [p.name for p in tmp_path.iterdir()] == ["x.ogg"]


def test_where_case_does_not_matter_a_file_is_not_in_its_own_way(
  tmp_path, monkeypatch
):
  look = files._identity
  monkeypatch.setattr(
    files, "_identity", lambda p: look(p.with_name(p.name.lower()))
  )
  with unused(tmp_path / "x.wav", [], [".WAV", ".JSON"]) as path:
    assert path.name == "x.wav"
  (tmp_path / "y.json").touch()
  with unused(tmp_path / "y.wav", [], [".WAV", ".JSON"]) as path:
    assert path.name == "y-2.wav"
