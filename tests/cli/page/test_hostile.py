"""What is sent to the page in bad faith ends in one line each."""

import http.client
import io
import itertools
import json
import pathlib
import urllib.parse

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.pages
REQUEST = ["rain", 0.2, 0, 1, 1.0, 0, 0]
COUNT = 200
GROWTH_MB = 30

FILE = {"meta": {"_type": "gradio.FileData"}, "orig_name": "x.wav"}
ELSEWHERE = ["/etc/passwd", "../../x", "http://127.0.0.1:1/x.wav", "", "{clip}"]
DEEP = json.loads("[" * 50 + "]" * 50)
# What is neither a text nor a number, a recording nor nothing.
WRONG = [[], {}, ["rain"], DEEP, {"a": {"b": 1}}, True]
NO_NUMBERS = [*WRONG, "5", "", "/etc/passwd", "../../x", -1, 1e300, 10**400,
              float("nan"), float("inf"), -float("inf")]  # fmt: skip
NO_WORDS = [*WRONG, 5, "x" * 301, "x" * 60_000, "\ud800", "", " \n ", None]
NO_FILES = [*WRONG[:-1], None, 5, "/etc/passwd", "../../x", "x" * 9999, "\0"]


class Server:
  """The served page, as a program sees it that knows HTTP alone."""

  def __init__(self, served):
    self.process = served.process
    self.address = urllib.parse.urlsplit(served.url).netloc

  def send(self, method, path, body=None, kind="application/json"):
    """Status and text of an answer."""
    connection = http.client.HTTPConnection(self.address, timeout=120)
    try:
      headers = {"content-type": kind} if body is not None else {}
      connection.request(method, path, body, headers)
      answer = connection.getresponse()
      return answer.status, answer.read().decode()
    except ConnectionError as error:  # It does not wait for all of it.
      return 400, str(error)
    finally:
      connection.close()

  def call(self, name, data):
    """The last event of a call, and what it says; or why there was none."""
    path = f"/gradio_api/call/{name}"
    status, text = self.send("POST", path, json.dumps({"data": data}))
    if status != 200:
      return "error", text
    _, text = self.send("GET", f"{path}/{json.loads(text)['event_id']}")
    event, data = text.strip().split("\n\n")[-1].split("\n")
    return event.removeprefix("event: "), data.removeprefix("data: ")

  def upload(self, content, name="x.wav"):
    """Status and text of an answer to an upload."""
    body = (
      b'--x\r\ncontent-disposition: form-data; name="files"; filename="'
      + name.encode()
      + b'"\r\n\r\n'
      + content
      + b"\r\n--x--\r\n"
    )
    kind = "multipart/form-data; boundary=x"
    return self.send("POST", "/gradio_api/upload", body, kind)

  def uploaded(self, content, name="x.wav"):
    """An upload, as calls name it."""
    status, text = self.upload(content, name)
    assert status == 200, text
    return {**FILE, "path": json.loads(text)[0]}

  @property
  def megabytes(self):
    """Of memory."""
    status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.fixture
def server(served):
  return Server(served)


@pytest.fixture
def calls(tmp_path):
  """Endless calls that must fail: name and data."""
  clip = tmp_path / "clip.wav"
  soundfile.write(clip, np.random.default_rng(0).normal(0, 0.1, 9000), 16000)
  files = [{**FILE, "path": path.format(clip=clip)} for path in ELSEWHERE]
  bad = [("generate", [v, *REQUEST[1:]]) for v in NO_WORDS]
  for i in range(1, 7):
    none = [v for v in NO_NUMBERS if not (i == 1 and v is None)]
    bad += [
      ("generate", [*REQUEST[:i], v, *REQUEST[i + 1 :]])
      for v in none
      if not (i == 2 and v == 1e300)
    ]
  bad += [("continue", [v, *REQUEST]) for v in (*NO_FILES, *files)]
  bad += [("fill", [v, 0, 0.1, *REQUEST]) for v in (*NO_FILES, *files)]
  bad += [("fill", [files[0], v, 0.1, *REQUEST]) for v in NO_NUMBERS]
  bad += [("vary", [files[0], v, *REQUEST]) for v in NO_NUMBERS]
  bad += [("generate", REQUEST[:3]), ("generate", []), ("vary", {}),
          ("generate", "rain"), ("nothing", REQUEST)]  # fmt: skip
  order = np.random.default_rng(0).permutation(len(bad))
  return itertools.cycle([bad[i] for i in order])


def test_bad_calls_end_in_one_line_and_leave_nothing(
  server, served, calls, wait_for
):
  def is_ready():
    return "ready for recordings" in pathlib.Path(served.log).read_text()

  wait_for(is_ready, served.process)
  for _ in range(COUNT // 2):  # until memory is what it will be
    server.call(*next(calls))
  before = server.megabytes
  lines = set()
  for _ in range(COUNT):
    name, data = next(calls)
    event, text = server.call(name, data)
    assert event == "error", (name, data)
    assert "\n" not in text and len(text) < 500, (name, data, text)
    assert "Traceback" not in text and "root:" not in text, (name, data, text)
    lines.add(text)
  assert len(lines) > 50
  assert server.process.poll() is None
  assert server.megabytes - before < GROWTH_MB
  assert "Traceback" not in pathlib.Path(served.log).read_text()
  event, text = server.call("generate", REQUEST)
  assert event == "complete" and len(json.loads(text)[0]["sounds"]) == 1


def test_what_is_no_sound_is_refused_in_one_line(server):
  hours = io.BytesIO()
  with soundfile.SoundFile(hours, "w", 8000, 1, format="FLAC") as file:
    for _ in range(120):
      file.write(np.full(8000 * 60, 1000, np.int16))
  for content, message in (
    (hours.getvalue(), "7200 s long, but the limit is 30 s"),
    (b"", "x.wav: "),
    (b"RIFF" + b"\xff" * 1000, "x.wav: "),
    (b"version https://git-lfs.github.com/spec/v1\n", "x.wav: "),
  ):
    file = server.uploaded(content)
    event, text = server.call("continue", [file, *REQUEST])
    assert event == "error" and message in text, text
    assert file["path"] not in text and len(text) < 500


def test_what_is_too_large_is_refused_and_takes_no_memory(server):
  before = server.megabytes
  two_hours = bytes(2 * 3600 * 16000 * 2)  # of 16 bits at 16 kHz
  for _ in range(3):
    status, text = server.upload(two_hours)
    assert status in (400, 413), text
    long = json.dumps({"data": ["x" * 10_000_000, *REQUEST[1:]]})
    status, text = server.send("POST", "/gradio_api/call/generate", long)
    assert status in (400, 413), text
  assert server.megabytes - before < GROWTH_MB


def test_no_request_passes_by_the_queue(server):
  body = json.dumps({"data": REQUEST})
  for way in ("run", "api"):
    status, text = server.send("POST", f"/gradio_api/{way}/generate", body)
    assert status in (401, 403, 404), text


@pytest.mark.parametrize(
  "path",
  ["file=/etc/passwd", "file=../../../../etc/passwd", "file=~/.bashrc",
   "file=http://127.0.0.1:1/", "file=https://example.org/",
   "file=http://127.0.0.1:1/gradio_api/upload",
   "proxy=http://127.0.0.1:1/", "file=file:///etc/passwd",
   "file=/proc/self/environ", "file=%2Fetc%2Fpasswd"],
)  # fmt: skip
def test_no_file_but_of_the_page_is_served(path, server):
  status, text = server.send("GET", f"/gradio_api/{path}")
  assert status in (403, 404), text
  assert "root:" not in text


@pytest.mark.parametrize("name", ["../../x.wav", "/etc/x.wav", "a" * 300, "\t"])
def test_an_upload_stays_where_uploads_are(name, server, served):
  content = io.BytesIO()
  soundfile.write(
    content, np.random.default_rng(0).normal(0, 0.1, 4000), 16000, format="WAV"
  )
  status, text = server.upload(content.getvalue(), name)
  if status != 200:
    assert status < 500, text
    return
  path = pathlib.Path(json.loads(text)[0]).resolve()
  assert path.is_relative_to(pathlib.Path(served.log).parent)
  assert path.read_bytes() == content.getvalue()
