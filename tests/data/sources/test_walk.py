"""Every sound below a folder is met once, and what is left out is named."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siren_jax.data.sources import walk

SUFFIXES = (".wav", ".flac")


def touch(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")  # The walk never opens a sound.


def names(root, **kwargs):
  paths = walk.sound_files(root, SUFFIXES, **kwargs).paths
  return [str(p.relative_to(root)) for p in paths]


def skipped(root):
  """Messages, with paths below `root`."""
  lines = walk.sound_files(root, SUFFIXES).skipped
  return [line.replace(f"{root}/", "") for line in lines]


def test_sounds_in_a_fixed_order(tmp_path):
  touch(tmp_path, "b.WAV", "a/z.flac", "a/a.wav", "notes.md", "a.wav", "wav")
  touch(tmp_path, "folder.wav/inside.wav")
  assert names(tmp_path) == [
    "a/a.wav",
    "a/z.flac",
    "a.wav",
    "b.WAV",
    "folder.wav/inside.wav",
  ]
  assert skipped(tmp_path) == []


def test_what_systems_leave_behind_is_no_sound(tmp_path):
  touch(tmp_path, "rain.wav", "._rain.wav", "__MACOSX/rain.wav")
  touch(tmp_path, "@eaDir/rain.wav", "$RECYCLE.BIN/x.wav", ".Trashes/1/x.wav")
  touch(tmp_path, "lost+found/x.wav", "System Volume Information/x.wav")
  assert names(tmp_path) == ["rain.wav"]
  assert skipped(tmp_path) == []
  touch(tmp_path, ".dog.wav", "deep/.cat.wav")
  assert skipped(tmp_path) == [
    "2 hidden sound files left out, such as .dog.wav: rename those that"
    " should be included"
  ]


def test_a_hidden_root_is_meant(tmp_path):
  touch(tmp_path / ".sounds", "rain.wav")
  assert names(tmp_path / ".sounds") == ["rain.wav"]


def test_formats_that_are_not_read_are_counted(tmp_path):
  touch(tmp_path, "a.m4a", "x/b.M4A", "c.webm", "d.wav", "e.txt", "._f.m4a")
  remedy = "unsupported format; convert them, for example with ffmpeg"
  assert skipped(tmp_path) == [
    f"2 .m4a files left out, such as a.m4a: {remedy}",
    f"1 .webm file left out, such as c.webm: {remedy}",
  ]
  assert walk.sound_files(tmp_path, (".m4a",)).skipped == (
    f"1 .webm file left out, such as {tmp_path}/c.webm: {remedy}",
  )


def test_links_are_followed_once(tmp_path):
  root = tmp_path / "sounds"
  touch(root, "z/rain.wav")
  touch(tmp_path, "else/dog.wav", "store/.blobs/1234")
  (root / "a").symlink_to("z")  # before what it leads to
  (root / "b.wav").symlink_to("z/rain.wav")
  (root / "c").symlink_to(tmp_path / "else")
  (root / "d").symlink_to(tmp_path / "else")
  (root / "cat.wav").symlink_to(tmp_path / "store/.blobs/1234")
  assert names(root) == ["c/dog.wav", "cat.wav", "z/rain.wav"]
  assert skipped(root) == [
    "a: a link to z, which is already included",
    "b.wav: a link to z/rain.wav, which is already included",
    f"d: a link to {tmp_path}/else, which is already included",
  ]


def test_loops_end(tmp_path):
  root = tmp_path / "sounds"
  touch(root, "a/rain.wav", "b/dog.wav")
  touch(tmp_path, "beside.wav")
  (root / "a/b").symlink_to("../b")
  (root / "b/a").symlink_to("../a")
  (root / "a/top").symlink_to("..")
  (root / "out").symlink_to("../..")
  (root / "self").symlink_to("self")
  assert names(root) == ["a/rain.wav", "b/dog.wav"]
  assert [line.partition(" (")[0] for line in skipped(root)] == [
    "a/b: a link to b, which is already included",
    "a/top: a link to a parent folder, not followed",
    "b/a: a link to a, which is already included",
    "out: a link to a parent folder, not followed",
    "self: a broken link",
  ]


def test_what_cannot_be_read_is_named(tmp_path, monkeypatch):
  touch(tmp_path, "rain.wav", "secret/dog.wav")
  (tmp_path / "gone").symlink_to("nowhere")
  os.mkfifo(tmp_path / "pipe.wav")
  scandir = os.scandir

  def guarded(path):
    if Path(path).name == "secret":
      raise PermissionError(13, "Permission denied")
    return scandir(path)

  monkeypatch.setattr(os, "scandir", guarded)
  assert names(tmp_path) == ["rain.wav"]
  assert skipped(tmp_path) == [
    "pipe.wav: not a regular file",
    "secret: cannot be read (Permission denied)",
    "gone: a broken link (No such file or directory)",
  ]


def test_names_that_are_no_text(tmp_path):
  touch(tmp_path, os.fsdecode(b"caf\xe9.wav"), os.fsdecode(b"d\xff/a.wav"))
  touch(tmp_path, "caf\u00e9.wav", "cafe\u0301.wav", "two\nlines.m4a")
  assert sorted(names(tmp_path)) == ["cafe\u0301.wav", "caf\u00e9.wav"]
  assert skipped(tmp_path) == [
    "caf\\udce9.wav: its name is not UTF-8 text; rename it",
    "d\\udcff: its name is not UTF-8 text; rename it",
    "1 .m4a file left out, such as two\\nlines.m4a: unsupported format;"
    " convert them, for example with ffmpeg",
  ]


def test_a_folder_set_apart(tmp_path):
  touch(tmp_path, "a.wav", "out/made.wav", "out/deep/made.wav", "outer/b.wav")
  (tmp_path / "link").symlink_to("out/deep")
  (tmp_path / "c.wav").symlink_to("out/made.wav")
  assert names(tmp_path, apart=tmp_path / "out") == ["a.wav", "outer/b.wav"]
  assert names(tmp_path, apart=tmp_path / "none")[0] == "a.wav"
  assert len(names(tmp_path / "out", apart=tmp_path / "out")) == 2


_FOLDERS = ["", "a", "a/b", "c", ".hidden", "__MACOSX"]
_PLACES = st.sampled_from(_FOLDERS)
_FILES = st.sets(st.tuples(_PLACES, st.sampled_from(["x.wav", "y.flac", "z"])))
_LINKS = st.sets(
  st.tuples(
    _PLACES,
    st.sampled_from(["l", "m", "n.wav"]),
    st.sampled_from([*_FOLDERS, "..", "x.wav", "a/l", "c/m", "a/b/y.flac"]),
  )
)


@settings(max_examples=100, deadline=None)
@given(_FILES, _LINKS)
def test_any_tree_ends_with_each_sound_once(files, links):
  top = Path(tempfile.mkdtemp())
  try:
    root = top / "root"
    for folder in _FOLDERS:
      (root / folder).mkdir(parents=True, exist_ok=True)
    touch(root, *(Path(*place) for place in files))
    for folder, name, target in links:
      path = root / folder / name
      if not path.is_symlink():
        path.symlink_to(root / target)
    first = walk.sound_files(root, SUFFIXES)
    assert walk.sound_files(root, SUFFIXES) == first
    real = [p.resolve() for p in first.paths]
    assert len(set(real)) == len(real)
    in_place = {
      (root / folder / name).resolve()
      for folder, name in files
      if folder in ("", "a", "a/b", "c") and name != "z"
    }
    assert in_place <= set(real)
    assert all(p.is_file() for p in first.paths)
  finally:
    shutil.rmtree(top)


@pytest.mark.parametrize("suffix", [".raw", ".pcm", ".gsm", ".vox"])
def test_sounds_without_a_header_are_named(suffix, tmp_path):
  (tmp_path / f"a{suffix}").touch()
  (message,) = walk.sound_files(tmp_path, (".wav",)).skipped
  assert message.startswith(f"1 {suffix} file left out, such as")
