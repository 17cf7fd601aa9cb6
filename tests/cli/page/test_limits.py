"""What may be asked of the page."""

import pytest

import siren_jax
from siren_jax import api
from siren_jax.cli.page import limits
from siren_jax.common.errors import UserError

GOOD = {
  "words": "rain",
  "seconds": 5,
  "seed": 0,
  "sounds": 4,
  "temperature": 0.9,
  "top_k": 64,
  "guidance": 3,
}


def test_a_request_as_the_sampler_takes_it():
  request = GOOD | {"words": " two\n short \t beeps", "seed": 3.0}
  checked = limits.check_request(**request)
  assert checked.words == "two short beeps"
  assert (checked.seed, type(checked.seed)) == (3, int)
  assert (checked.seconds, type(checked.seconds)) == (5.0, float)
  assert checked.settings == {"temperature": 0.9, "top_k": 64, "guidance": 3.0}


@pytest.mark.parametrize("nothing", [None, 0, 0.0])
def test_settings_that_are_none(nothing):
  request = GOOD | {"words": None, "top_k": nothing, "guidance": nothing}
  checked = limits.check_request(**request)
  assert checked.words == ""
  assert checked.settings == {
    "temperature": 0.9,
    "top_k": None,
    "guidance": None,
  }


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"words": ["rain", "wind"]}, r"words \['rain', 'wind'\]: give one string"),
    ({"words": "x" * 301}, "words: 301 characters; give at most 300"),
    ({"words": "\ud800"}, "words .*: not valid Unicode"),
    ({"seconds": 31}, "seconds 31: give a number from 0.1 to 30"),
    ({"seconds": float("nan")}, "seconds nan: give a number"),
    ({"seconds": "5"}, "seconds '5': give a number"),
    ({"seconds": True}, "seconds True: give a number"),
    ({"seconds": None}, "seconds None: give a number"),
    ({"seed": -1}, "seed -1: give a whole number from 0 to 4294967295"),
    ({"seed": 1.5}, "seed 1.5: give a whole number"),
    ({"seed": float("inf")}, "seed inf: give a whole number"),
    ({"seed": 10**5000}, "seed .*: give a whole number"),
    ({"sounds": 9}, "candidates 9: give a whole number from 1 to 8"),
    ({"temperature": 0}, "temperature 0: give a number"),
    ({"top_k": -1}, "top_k -1: give a whole number"),
    ({"top_k": []}, "top_k .*: give a whole number"),
    ({"guidance": ""}, "guidance '': give a number"),
    ({"guidance": {"a": [1] * 999}}, "guidance .*: give a number"),
  ],
)
def test_what_is_refused_is_named_in_one_short_line(change, message):
  with pytest.raises(UserError, match=f"^{message}") as error:
    limits.check_request(**GOOD | change)
  assert len(str(error.value)) < 200 and "\n" not in str(error.value)


@pytest.mark.parametrize(
  "path",
  ["/etc/passwd", "../../x", "https://x.org/x.wav", "file:///etc/passwd", "",
   "{folder}/../x.wav", "{folder}/link/passwd", "{folder}2/x.wav", 3, None,
   ["x"], "{folder}/\0"],
)  # fmt: skip
def test_a_file_that_was_not_uploaded_is_refused(path, tmp_path):
  folder = tmp_path / "uploads"
  folder.mkdir()
  (folder / "link").symlink_to("/etc")
  if isinstance(path, str):
    path = path.format(folder=folder)
  for request in ({"path": path}, [1, {"a": [{"url": "", "path": path}]}]):
    with pytest.raises(UserError, match="not an upload"):
      limits.check_files(request, folder)


def test_an_upload_and_its_name(tmp_path):
  path = tmp_path / "x.wav"
  path.write_bytes(b"")
  file = {"path": str(path)}
  limits.check_files([file, {"path": str(tmp_path / "a" / "b")}], tmp_path)
  assert limits.upload(file) == (path, "x.wav")
  for name in ("clip.wav", "../../clip.wav", "C:\\sounds\\clip.wav"):
    assert limits.upload(file | {"orig_name": name}) == (path, "clip.wav")


@pytest.mark.parametrize(
  "value", [None, "x.wav", [], {}, {"path": 3}, {"path": "/no/such/file"}]
)
def test_what_is_no_upload_is_refused(value):
  with pytest.raises(UserError, match="upload"):
    limits.upload(value)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_there_is_not_is_refused_at_once(port, user_error):
  pytest.importorskip("gradio")
  message = user_error(["demo", "--port", port, "--model", "not looked for"])
  assert message == f"--port {port}: must be 1 to 65535"


def test_the_flags_of_the_model_reach_load(user_error, monkeypatch):
  pytest.importorskip("gradio")

  def spy(*args, **settings):
    raise UserError(f"loads {args[1:]} {settings}")

  monkeypatch.setattr(api, "load", spy)
  message = user_error(
    ["demo", "--mesh", "data=4", "--batch-size", 3, "--dtype", "bfloat16",
     "--no-expand"],
  )  # fmt: skip
  expected = {"dtype": "bfloat16", "expand": False}
  assert message == f"loads {(siren_jax.MeshConfig(data=4), 3)} {expected}"
