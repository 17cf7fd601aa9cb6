"""A page that is served, and a browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
from typing import NamedTuple

import pytest


class Served(NamedTuple):
  """A page that another process serves.

  Attributes:
    url: its address, without a slash at the end.
    process: of the server.
    log: file of its standard error.
  """

  url: str
  process: subprocess.Popen
  log: object


@pytest.fixture(scope="session")
def served(tiny_bundle, tmp_path_factory):
  """`siren-jax demo` of a tiny model; a signal ends it."""
  folder = tmp_path_factory.mktemp("demo")
  # One device, as visitors have it.
  flags = re.sub(r"--xla_force\S+", "", os.environ["XLA_FLAGS"])
  with (folder / "log").open("w") as log:
    process = subprocess.Popen(
      [sys.executable, "-m", "siren_jax", "demo", "--model", tiny_bundle,
       "--batch-size", "1"],
      stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder,
      env=os.environ | {"XLA_FLAGS": flags, "TMPDIR": str(folder)},
    )  # fmt: skip
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), (folder / "log").read_text()
    yield Served(line.split()[0].rstrip("/"), process, folder / "log")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
  last = (folder / "log").read_text().splitlines()[-1]
  assert last == (
    "siren-jax: interrupted; the page is closed, its sounds and uploads are"
    " removed; the same command opens it again"
  )
  assert [path.name for path in folder.iterdir()] == ["log"]


@pytest.fixture(scope="session")
def browser():
  """Headless Chromium."""
  sync_api = pytest.importorskip("playwright.sync_api")
  path = shutil.which("chromium") or shutil.which("chromium-browser")
  if path is None:
    pytest.fail("there is no Chromium; apt-get install chromium")
  flags = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
  )
  with sync_api.sync_playwright() as playwright:
    with playwright.chromium.launch(
      executable_path=path, args=flags.split()
    ) as chromium:
      yield chromium
