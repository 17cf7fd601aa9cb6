"""A server that stands in for the Hugging Face Hub: downloads and uploads."""

import base64
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

import pytest

TOKEN = "hf_good"


class Hub(http.server.BaseHTTPRequestHandler):
  """The routes that huggingface_hub asks for.

  `server.repos` has files by name, by branch, by repository; `server.commits`
  how many there were. Anybody may read, the bearer of TOKEN may write to
  repositories of `me`.
  """

  protocol_version = "HTTP/1.1"

  def do_HEAD(self):
    self._read()

  def do_GET(self):
    self._read()

  def do_PUT(self):
    content = self._body()
    oid = self.path.rpartition("/")[2]
    assert hashlib.sha256(content).hexdigest() == oid
    self.server.objects[oid] = content
    self._send(200)

  def do_POST(self):
    body, path = self._body(), self._path()
    if self.headers.get("Authorization") != f"Bearer {TOKEN}":
      return self._send(401, {"error": "Invalid username or password."})
    if path == "/api/repos/create":
      return self._create(json.loads(body))
    if path == "/api/validate-yaml":
      return self._send(200, {"errors": [], "warnings": []})
    if match := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
      return self._batch(json.loads(body))
    match = re.fullmatch(r"/api/models/(\w+/\w+)/(\w+)/([^/]+)", path)
    branches, branch = self.server.repos[match[1]], match[3]
    if match[2] == "branch":
      branches[branch] = dict(branches["main"])
      return self._send(200)
    if match[2] == "preupload":
      return self._send(
        200, {"files": list(map(_mode, json.loads(body)["files"]))}
      )
    assert match[2] == "commit"
    self.server.commits += 1
    for line in body.splitlines():
      self._apply(branches[branch], **json.loads(line))
    address = f"{self._host()}/{match[1]}/commit/{commit_of(branch)}"
    info = {"commitUrl": address, "commitOid": commit_of(branch)}
    return self._send(200, info)

  def log_message(self, *_):
    pass

  def _create(self, wanted):
    if wanted.get("organization") != "me":
      return self._send(403, {"error": "You don't have the rights"})
    name = f"me/{wanted['name']}"
    if name in self.server.repos:
      url = f"{self._host()}/{name}"
      return self._send(409, {"error": "already created", "url": url})
    self.server.repos[name] = {"main": {}}
    return self._send(200, {"url": f"{self._host()}/{name}"})

  def _batch(self, wanted):
    objects = [
      item | {"actions": {"upload": {"href": f"{self._host()}/{item['oid']}"}}}
      for item in wanted["objects"]
    ]
    return self._send(200, {"transfer": "basic", "objects": objects})

  def _apply(self, files, key, value):
    if key == "file":
      files[value["path"]] = base64.b64decode(value["content"])
    elif key == "lfsFile":
      files[value["path"]] = self.server.objects[value["oid"]]
    elif key == "deletedFile":
      del files[value["path"]]
    else:
      assert key == "header"

  def _read(self):
    path = self._path()
    if "/me/closed" in path:
      return self._send(403, {}, {"X-Error-Code": "GatedRepo"})
    match = re.fullmatch(
      r"(?:/api/models)?/(\w+/\w+)(?:/(\w+)/([^/]+)(?:/(.+))?)?", path
    )
    if not match or match[1] not in self.server.repos:
      return self._send(404, {}, {"X-Error-Code": "RepoNotFound"})
    branches = self.server.repos[match[1]]
    wanted = match[3] or "main"
    branch = next((b for b in branches if wanted in (b, commit_of(b))), None)
    if branch is None:
      return self._send(404, {}, {"X-Error-Code": "RevisionNotFound"})
    files = branches[branch]
    if match[2] == "resolve":
      content = files[match[4]]
      etag = hashlib.sha1(content).hexdigest()
      headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit_of(branch)}
      return self._send(200, content, headers)
    if match[2] == "tree":
      return self._send(200, [_entry(*item) for item in files.items()])
    info = {
      "id": match[1],
      "sha": commit_of(branch),
      "siblings": [{"rfilename": name} for name in files],
      "tags": [],
      "private": False,
      "downloads": 0,
    }
    return self._send(200, info)

  def _host(self):
    return f"http://{self.headers['Host']}"

  def _path(self):
    return urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)

  def _body(self):
    if self.headers.get("Transfer-Encoding") != "chunked":
      return self.rfile.read(int(self.headers.get("Content-Length", 0)))
    body = b""
    while size := int(self.rfile.readline(), 16):
      body += self.rfile.read(size)
      self.rfile.readline()
    self.rfile.readline()
    return body

  def _send(self, status, content=b"", headers=None):
    if not isinstance(content, bytes):
      content = json.dumps(content).encode()
    self.send_response(status)
    for name, value in {
      "Content-Type": "application/json",
      "Content-Length": str(len(content)),
      **(headers or {}),
    }.items():
      self.send_header(name, value)
    self.end_headers()
    if self.command != "HEAD":
      self.wfile.write(content)


def commit_of(branch):
  """Its newest; a branch has always the same one."""
  return hashlib.sha1(branch.encode()).hexdigest()


def _mode(file):
  large = file["path"].endswith(".safetensors")
  mode = "lfs" if large else "regular"
  return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


def _entry(name, content):
  oid = hashlib.sha1(content).hexdigest()
  return {"type": "file", "path": name, "size": len(content), "oid": oid}


@pytest.fixture
def hub():
  """The server, with the model me/tiny; see `Hub` for its attributes."""
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  server.commit_of, server.token = commit_of, TOKEN
  server.objects, server.commits = {}, 0
  files = {
    "config.json": b'{"format": 1}',
    "codec.safetensors": b"x" * 100,
    "secret.py": b"not for us",
  }
  server.repos = {"me/tiny": {"main": files}}
  yield server
  server.shutdown()
  server.server_close()
