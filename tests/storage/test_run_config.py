"""The config.json of a work directory: what a resumed run may change."""

import json

import pytest

from siren_jax.common.errors import UserError
from siren_jax.storage import run_config


def test_recorded_config_may_only_change_in_what_is_free(tmp_path):
  old = {"train": {"steps": 5, "seed": 0}, "mesh": {"fsdp": 1}, "rates": (1, 2)}
  assert run_config.record(tmp_path, old, resumed=False) == ""
  assert run_config.record(tmp_path, old, resumed=True) == ""
  longer = old | {"train": {"steps": 9, "seed": 0}, "mesh": {"fsdp": 2}}
  note = run_config.record(tmp_path, longer, resumed=True)
  assert note == "resumed with mesh.fsdp=2 (was 1), train.steps=9 (was 5)"
  saved = json.loads((tmp_path / "config.json").read_text())
  assert saved["train"]["steps"] == 9
  read = longer | {"data": {"reading": {"threads": 4}}}
  assert "data.reading.threads=4" in run_config.check(tmp_path, read)
  for key, value in [
    ("rates", (1, 3)),
    ("more", 1),
    ("optimizer", {"steps": 9}),
    ("steps", 9),
    ("data", {"mesh": 1}),
    ("mesh_of_data", 1),
  ]:
    with pytest.raises(UserError, match=key):
      run_config.record(tmp_path, longer | {key: value}, resumed=True)
  assert json.loads((tmp_path / "config.json").read_text()) == saved
  run_config.record(tmp_path, {"other": 1}, resumed=False)


def test_an_input_is_known_by_its_fingerprint(tmp_path):
  def settings(path, fingerprint):
    inputs = {"inputs": {"data.path": fingerprint}} if fingerprint else {}
    return {"data": {"path": path, "seconds": 5}} | inputs

  run_config.record(tmp_path, settings("a", "f" * 64), resumed=False)
  moved = settings("b", "f" * 64)
  note = run_config.record(tmp_path, moved, resumed=True)
  assert note == "resumed with data.path='b' (was 'a')"
  with pytest.raises(UserError) as error:
    run_config.record(tmp_path, settings("b", "0" * 64), resumed=True)
  message = str(error.value)
  assert "data.path='b'" in message and "000000000000)" in message
  assert "was trained with 'b' (ffffffffffff)" in message
  assert "f" * 13 not in message
  with pytest.raises(UserError, match="data.path='c'"):
    run_config.record(tmp_path, settings("c", None), resumed=True)


def test_a_run_without_fingerprints_resumes_with_a_note(tmp_path):
  old = {"data": {"path": "a"}}
  new = old | {"inputs": {"data.path": "f" * 64}}
  run_config.record(tmp_path, old, resumed=False)
  note = run_config.record(tmp_path, new, resumed=True)
  assert "kept no fingerprint of data.path" in note
  assert note.endswith("they are checked from now on")
  assert run_config.record(tmp_path, new, resumed=True) == ""
  run_config.record(tmp_path, old, resumed=False)
  with pytest.raises(UserError, match="data.path='b'"):
    run_config.record(tmp_path, new | {"data": {"path": "b"}}, resumed=True)


@pytest.mark.parametrize(
  "content, message",
  [
    (b"", "an empty file"),
    (b'{"train": {', "Expecting|Unterminated"),
    (b"[1]", "not a JSON object"),
    (b"<!DOCTYPE html>", "a web page"),
    (b"\xff\xfe\x00", "decode"),
    (b'{"a": 1, "a": 2}', "duplicate key"),
    (b'{"a": 1e999}', "finite"),
    (None, "no such file"),
  ],
)
def test_a_broken_recorded_config_is_one_line(tmp_path, content, message):
  if content is not None:
    (tmp_path / "config.json").write_bytes(content)
  with pytest.raises(
    UserError, match=f"config.json: .*{message}.*; copy .*metadata"
  ):
    run_config.record(tmp_path, {"a": 1}, resumed=True)
