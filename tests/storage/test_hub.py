"""Models by their names on the hub, against a server that stands in for it."""

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse

import pytest

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
  """The routes that a download asks for; `server.files` by name."""

  protocol_version = "HTTP/1.1"

  def do_HEAD(self):
    self._answer()

  def do_GET(self):
    self._answer()

  def log_message(self, *_):
    pass

  def _answer(self):
    path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
    files = self.server.files
    if "/me/closed" in path:
      return self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
    if "/me/tiny" not in path and not path.startswith("/me/tiny"):
      return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
    if "nowhere" in path:
      return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
    if match := re.fullmatch(r"/me/tiny/resolve/[^/]+/(.+)", path):
      content = files[match[1]]
      etag = hashlib.sha1(content).hexdigest()
      headers = {"ETag": f'"{etag}"', "X-Repo-Commit": SHA}
      return self._send(200, content, headers)
    if re.fullmatch(r"/api/models/me/tiny/tree/.*", path):
      tree = [
        {
          "type": "file",
          "path": name,
          "size": len(content),
          "oid": hashlib.sha1(content).hexdigest(),
        }
        for name, content in files.items()
      ]
      return self._send(200, json.dumps(tree).encode(), {})
    info = {
      "id": "me/tiny",
      "sha": SHA,
      "siblings": [{"rfilename": name} for name in files],
      "tags": [],
      "private": False,
      "downloads": 0,
    }
    return self._send(200, json.dumps(info).encode(), {})

  def _send(self, status, content, headers):
    self.send_response(status)
    for name, value in {
      "Content-Type": "application/json",
      "Content-Length": str(len(content)),
      **headers,
    }.items():
      self.send_header(name, value)
    self.end_headers()
    if self.command == "GET":
      self.wfile.write(content)


@pytest.fixture
def server():
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  server.files = {
    "config.json": b'{"format": 1}',
    "codec.safetensors": b"x" * 100,
    "secret.py": b"not for us",
  }
  yield server
  server.shutdown()
  server.server_close()


def test_a_name_is_fetched_and_errors_are_one_line(server, tmp_path):
  program = """
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

  def lines(*names, **env):
    done = subprocess.run(
      [sys.executable, "-c", program, *names],
      env=os.environ
      | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path),
        **env,
      },
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()

  files = "['codec.safetensors', 'config.json']"
  fetched, pinned, none, closed, nowhere, bad = lines(
    "hub:me/tiny", f"hub:me/tiny@{SHA}", "hub:me/none", "hub:me/closed",
    "hub:me/tiny@nowhere", "hub:tiny",
  )  # fmt: skip
  assert fetched == pinned == files
  assert "no such model" in none and none.startswith("hub:me/none: ")
  assert "ask on its page" in closed
  assert "no revision 'nowhere'" in nowhere
  assert "expected hub:OWNER/NAME" in bad
  offline, unknown = lines("hub:me/tiny", "hub:me/new", HF_HUB_OFFLINE="1")
  assert offline == files
  assert "the hub is not reached" in unknown
