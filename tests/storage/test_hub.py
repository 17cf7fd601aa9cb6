"""Models by their names on the hub, against a server that stands in for it."""

import os
import re
import subprocess
import sys

import pytest

from siren_jax.storage import folders
from siren_jax.storage import hub as hubs
from siren_jax.weights import model_card

FETCH = """
import sys
from siren_jax.common.errors import UserError
from siren_jax.storage import folders
for name in sys.argv[1:]:
  try:
    folder = folders.find(name)
    print(sorted(p.name for p in folder.iterdir()))
  except UserError as error:
    print(error)
"""

LOAD = """
import sys
from siren_jax.storage import folders
from siren_jax.weights import bundle
print(bundle.load(sys.argv[1]).name)
print(folders.identify(sys.argv[1]).fingerprint())
"""


@pytest.fixture
def run(hub, tmp_path):
  """A Python process for which the hub is the one of this machine."""

  def run(*argv, **env):
    return subprocess.run(
      [sys.executable, *map(str, argv)],
      env=os.environ
      | {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        # The server has the older of the two ways to upload.
        "HF_HUB_DISABLE_XET": "1",
        **env,
      },
      capture_output=True,
      text=True,
    )

  return run


def test_a_name_is_fetched_and_errors_are_one_line(hub, run):
  def lines(*names, **env):
    done = run("-c", FETCH, *names, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()

  files = "['codec.safetensors', 'config.json']"
  commit = hub.commit_of("main")
  fetched, pinned, none, closed, nowhere, bad = lines(
    "hub:me/tiny", f"hub:me/tiny@{commit}", "hub:me/none", "hub:me/closed",
    "hub:me/tiny@nowhere", "hub:tiny",
  )  # fmt: skip
  assert fetched == pinned == files
  assert "no such model" in none and none.startswith("hub:me/none: ")
  assert "request access on its page" in closed
  assert "no revision 'nowhere'" in nowhere
  assert "expected hub:OWNER/NAME" in bad
  offline, unknown = lines("hub:me/tiny", "hub:me/new", HF_HUB_OFFLINE="1")
  assert offline == files
  assert "the hub cannot be reached" in unknown


@pytest.mark.long
def test_a_bundle_that_is_pushed_is_the_one_that_is_loaded(
  hub, run, tiny_bundle, tmp_path
):
  out, name = tmp_path / "mine", "hub:me/mine@tuned"
  done = run(
    "-m", "siren_jax", "export", "--experts", tiny_bundle, "--out", out,
    "--license", "cc-by-4.0", "--push", name, HF_TOKEN=hub.token,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert f"/me/mine/commit/{hub.commit_of('tuned')}" in done.stdout
  assert f"--model {name}" in done.stdout
  assert hub.commits == 1
  local = {p.name: p.read_bytes() for p in out.iterdir()}
  assert hub.repos["me/mine"] == {"main": {}, "tuned": local}
  assert model_card.license_of(out) == "cc-by-4.0"
  assert f"--model {name}".encode() in local["README.md"]
  done = run("-c", LOAD, name)
  assert done.returncode == 0, done.stderr
  fingerprint = folders.identify(out).fingerprint()
  assert done.stdout.split() == ["mine", fingerprint]


PUSH = """
import pathlib, sys
from siren_jax.common.errors import UserError
from siren_jax.storage import hub
try:
  hub.push(pathlib.Path(sys.argv[1]), sys.argv[2])
except UserError as error:
  print(error)
"""


def test_a_push_replaces_the_bundle_and_nothing_else(hub, run, tmp_path):
  files = hub.repos["me/tiny"]["main"]
  files["kinds.json"] = b"{}"
  files["onnx/config.json"] = b"of somebody else"
  (tmp_path / "config.json").write_text("new")
  (tmp_path / "notes.txt").write_text("not of a bundle")
  done = run("-c", PUSH, tmp_path, "hub:me/tiny", HF_TOKEN=hub.token)
  assert (done.returncode, done.stdout) == (0, ""), done.stderr
  assert files == {
    "config.json": b"new",
    "onnx/config.json": b"of somebody else",
    "secret.py": b"not for us",
  }


@pytest.mark.parametrize(
  ("name", "env", "message"),
  [
    ("hub:tiny", {}, "expected hub:OWNER/NAME"),
    ("hub:me/tiny", {}, "not logged in; run hf auth login"),
    ("hub:me/tiny", {"HF_TOKEN": "hf_bad"}, "your token; run hf auth login"),
    ("hub:you/tiny", {"HF_TOKEN": "hf_good"}, "no write access"),
    (
      "hub:me/tiny@new",
      {"HF_TOKEN": "hf_good", "HF_ENDPOINT": "http://127.0.0.1:9"},
      "the hub cannot be reached",
    ),
    (
      "hub:me/tiny",
      {"HF_TOKEN": "hf_good", "HF_HUB_OFFLINE": "1"},
      "the hub cannot be reached",
    ),
  ],
)
def test_a_push_that_fails_is_one_line(name, env, message, run, tmp_path):
  (tmp_path / "config.json").write_text("{}")
  done = run("-c", PUSH, tmp_path, name, **env)
  assert done.returncode == 0, done.stderr
  (line,) = done.stdout.splitlines()
  assert line.startswith(f"{name}: ") and message in line
  if "reached" in message or "access" in message:
    repo, revision = hubs.parse(name)
    command = rf"hf upload {repo} {tmp_path}"
    command += f" --revision {revision}" if revision else ""
    assert re.search(f"upload it with {command}$", line), line


def test_an_interrupted_push_says_that_the_bundle_is_written(
  tmp_path, monkeypatch
):
  def interrupted(*_):
    raise KeyboardInterrupt

  monkeypatch.setenv("HF_TOKEN", "hf_any")
  monkeypatch.setattr(hubs, "_commit", interrupted)
  with pytest.raises(KeyboardInterrupt) as stop:
    hubs.push(tmp_path, "hub:me/tiny")
  (note,) = stop.value.__notes__
  assert note.endswith(f"hf upload me/tiny {tmp_path}")
