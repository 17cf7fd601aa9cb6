"""Signals, closed pipes and terminals, as users meet them."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from siren_jax.cli import main as cli
from siren_jax.cli import runtime, terminal
from siren_jax.common import extras


def in_the_verb(monkeypatch, run):
  """`inspect` that does something else."""
  monkeypatch.setattr("siren_jax.cli.models.inspect.run", run)
  return ["inspect"]


def send(number):
  os.kill(os.getpid(), number)
  time.sleep(0.5)
  raise AssertionError("nothing came of the signal")


@pytest.mark.parametrize(
  "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
)
def test_a_signal_cleans_up_and_is_reported(number, monkeypatch, capsys):
  handlers, cleaned = signal.getsignal(number), []

  def run(args):
    try:
      send(number)
    finally:
      cleaned.append(True)

  assert cli.main(in_the_verb(monkeypatch, run)) == 128 + number
  assert cleaned == [True] and signal.getsignal(number) == handlers
  err = capsys.readouterr().err
  assert err.startswith("siren-jax: interrupted; ") and err.count("\n") == 1


def test_a_signal_sent_twice_does_not_cut_the_cleaning_short(monkeypatch):
  cleaned = []

  def run(args):
    try:
      send(signal.SIGTERM)
    finally:
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(0.01)
      cleaned.append(True)

  assert cli.main(in_the_verb(monkeypatch, run)) == 143
  assert cleaned == [True]


def test_a_key_held_down_interrupts_again(monkeypatch):
  """What is ignored does not put off what is not."""
  cleaned = []

  def run(args):
    try:
      send(signal.SIGINT)
    finally:
      for _ in range(12):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
      cleaned.append(True)

  assert cli.main(in_the_verb(monkeypatch, run)) == 130
  assert not cleaned


def test_a_signal_that_python_drops_is_sent_again(monkeypatch):
  class Dropping:
    def __del__(self):
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(0.01)

  def run(args):
    Dropping()
    time.sleep(5)

  start = time.monotonic()
  assert cli.main(in_the_verb(monkeypatch, run)) == 143
  assert time.monotonic() - start < 4


def test_an_ignored_signal_stays_ignored(monkeypatch):
  """As nohup has it."""
  monkeypatch.setattr(cli, "_run", lambda argv: os.kill(os.getpid(), 1) or 0)
  previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    assert cli.main([]) == 0
  finally:
    signal.signal(signal.SIGHUP, previous)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_reports_what_an_interrupt_leaves(verb, monkeypatch, capsys):
  module = f"siren_jax.cli.{cli.VERBS[verb]}.{verb.replace('-', '_')}"

  def stop(args):
    raise KeyboardInterrupt

  monkeypatch.setattr(f"{module}.run", stop)
  monkeypatch.setattr(extras, "check", lambda extra: None)  # as if installed
  required = {
    "evaluate": ["--generated=a", "--reference=b"],
    "import-weights": ["dac", "a", "--out=b"],
    "export": ["--experts=a", "--out=b"],
    "average": ["a", "--start=b", "--out=c"],
    "prepare-data": ["--out=a"],
    "encode": ["a"],
    "decode": ["a"],
    "compile-check": ["--config=a", "--topology=b"],
    "generate": [],
    "kinds": [],
    "inspect": [],
    "demo": [],
  }
  argv = required.get(verb, ["--config=a", "--workdir=b"])
  assert cli.main([verb, *argv]) == 130
  assert "same command" in capsys.readouterr().err


def test_a_verb_may_say_more_of_its_interrupt(monkeypatch, capsys):
  def run(args):
    stop = KeyboardInterrupt()
    stop.add_note("3 of 8 sounds are written")
    raise stop

  assert cli.main(in_the_verb(monkeypatch, run)) == 130
  assert "interrupted; 3 of 8 sounds are written" in capsys.readouterr().err


def test_an_error_is_below_the_progress_bar(monkeypatch, user_error, capsys):
  import tqdm

  bars = []

  def run(args):
    bars.append(tqdm.tqdm(total=3, file=sys.stderr))
    bars[0].update()
    raise cli.UserError("it is broken")

  assert user_error(in_the_verb(monkeypatch, run)) == "it is broken"


@pytest.mark.parametrize(
  ("error", "named"),
  [
    (MemoryError("Unable to allocate 8 TiB"), "8 TiB.*more memory"),
    ("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes", "9 bytes"),
  ],
)
def test_no_memory_is_one_line(error, named, monkeypatch, capsys):
  import re

  import jax

  if isinstance(error, str):
    error = jax.errors.JaxRuntimeError(error)

  def run(args):
    raise error

  monkeypatch.setattr("siren_jax.cli.sounds.generate.run", run)
  assert cli.main(["generate", "rain"]) == 2
  err = capsys.readouterr().err
  assert re.search(f"out of memory.*{named}", err) and err.count("\n") == 1
  assert "--num-samples" in err and "--seconds" in err


def test_other_errors_of_jax_are_bugs(monkeypatch):
  import jax

  def run(args):
    raise jax.errors.JaxRuntimeError("INTERNAL: it is broken")

  with pytest.raises(jax.errors.JaxRuntimeError):
    cli.main(in_the_verb(monkeypatch, run))


def _pipe(script: str, **settings):
  return subprocess.run(
    ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m siren_jax {script}"],
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).parents[2],
    **settings,
  )


@pytest.mark.parametrize(
  ("command", "status", "error"),
  [
    ("--help | true", (0, 141), None),
    ("inspect configs/tiny.py --full | head -1", (0, 141), None),
    ("inspect configs/tiny.py > /dev/full", (2,), "No space left"),
    ("inspect configs/tiny.py >&-", (0,), None),
    ("inspect configs/tiny.py 2>&-", (0,), None),
  ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_takes_is_no_bug(command, status, error, unbuffered):
  done = _pipe(command, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
  assert done.returncode in status
  lines = [x for x in done.stderr.splitlines() if "WARN" not in x]
  assert len(lines) == (1 if error else 0), lines
  if error:
    assert lines[0].startswith(f"siren-jax: error: {error}")


def test_what_the_terminal_cannot_show_is_escaped():
  env = os.environ | {"PYTHONIOENCODING": "ascii"}
  done = _pipe("inspect $'caf\\xc3\\xa9\\xff'", env=env)
  assert done.returncode == 2 and "Traceback" not in done.stderr
  assert r"caf\xe9\udcff" in done.stderr


def test_standard_output_escapes_too(monkeypatch):
  import io

  out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
  monkeypatch.setattr(sys, "stdout", out)
  with terminal.attached():
    print("café \udcff")
  out.flush()
  assert out.buffer.getvalue() == b"caf\\xe9 \\udcff\n"
  assert out.errors == "strict"


def test_a_closed_standard_error_takes_status_and_bars(monkeypatch, capsys):
  monkeypatch.setattr(sys, "stderr", None)
  with terminal.attached():
    runtime.print_status("not among the results")
    with runtime.SecondsBar(1.0) as bar:
      bar.add(1.0)
  assert sys.stderr is None
  assert capsys.readouterr().out == ""
