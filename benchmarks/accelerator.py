"""How near the limits of an accelerator the project comes, in one command.

  python -m benchmarks.accelerator --out DIR

Copy and matmul speed of the card; the sampler of siren_1_6b in bfloat16; XLA's
command buffers, on and off; a Stage-1 step; sampler against scorer; codecs.
Random weights, medians. On a CPU everything is tiny and says nothing.

Every part is a process. They compile side by side; one at a time measures,
while all others are stopped. DIR/accelerator.json is written anew with every
figure. What is not done after `--seconds` is named and left out.
"""

import argparse
import collections
import json
import os
import pathlib
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import Any

from siren_jax.common.errors import UserError

MEASURING = 90.0  # seconds that a part may take


class Process:
  """A part that compiles, waits, measures and ends.

  Lines of its output, and None at its end, go to `events` with its name.
  """

  def __init__(
    self, name: str, command: list[str], flags: str, nice: int, events
  ):
    flags = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    self.name = name
    self.errors = tempfile.TemporaryFile("w+")
    self.process = subprocess.Popen(
      ["nice", "-n", str(nice), *command],
      env={**os.environ, "XLA_FLAGS": flags},
      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
      text=True,
    )  # fmt: skip

    def read():
      try:
        for line in self.process.stdout:
          events.put((name, json.loads(line)))
      finally:
        events.put((name, None))

    threading.Thread(target=read, daemon=True).start()

  def go(self) -> None:
    self.process.stdin.write("\n")
    self.process.stdin.flush()

  def stop(self) -> None:
    self.process.send_signal(signal.SIGSTOP)

  def resume(self) -> None:
    self.process.send_signal(signal.SIGCONT)

  def end(self) -> str | None:
    """What is wrong if it did not end well: the end of its errors."""
    if not self.process.wait():
      return None
    self.errors.seek(0)
    text = self.errors.read()[-3000:]
    return f"{text}\nexit code {self.process.returncode}".strip()

  def kill(self) -> None:
    self.process.kill()
    self.process.wait()


class Run:
  """All parts, from their start to the last figure.

  Args:
    commands: of each part, what matters most first. flags: XLA's, of some.
    second_try: flags with which a part that fails runs again, once.
    deadline: of `time.monotonic`. jobs: processes at a time.
  """

  def __init__(
    self, commands: Mapping[str, list[str]], flags: Mapping[str, str],
    report: "Report", deadline: float, jobs: int, second_try: str = "",
  ):  # fmt: skip
    self.commands, self.flags, self.report = {**commands}, {**flags}, report
    self.second_try = second_try
    self.deadline, self.jobs = deadline, jobs
    self.order = {name: i for i, name in enumerate(commands)}
    self.waiting = collections.deque(commands)
    self.events: queue.Queue = queue.Queue()
    self.processes: dict[str, Process] = {}
    self.ready: set[str] = set()
    self.measuring: str | None = None
    self.limit = self.deadline

  def __call__(self) -> None:
    try:
      while self.waiting or self.processes:
        self._start()
        self._measure_next()
        try:
          remaining = max(
            0.0, min(self.limit, self.deadline) - time.monotonic()
          )
          name, figures = self.events.get(timeout=remaining)
        except queue.Empty:
          if time.monotonic() >= self.deadline:
            break
          self.processes[self.measuring].kill()  # Its end is an event.
          self.limit = self.deadline
          continue
        if figures is None:
          self._ended(name)
        else:
          self.report.add(name, figures)
          if name != self.measuring:
            self.ready.add(name)
    finally:
      for process in self.processes.values():
        process.kill()
    for name in sorted({*self.waiting, *self.processes}, key=self.order.get):
      self.report.close(name, "left out: no time")

  def _start(self) -> None:
    while self.waiting and len(self.processes) < self.jobs:
      name = self.waiting.popleft()
      self.processes[name] = Process(
        name, self.commands[name], self.flags.get(name, ""),
        min(19, 2 * self.order[name]), self.events,
      )  # fmt: skip
      if self.measuring:
        self.processes[name].stop()

  def _measure_next(self) -> None:
    if self.measuring or not self.ready:
      return
    self.measuring = min(self.ready, key=self.order.get)
    self.ready.remove(self.measuring)
    for name, process in self.processes.items():
      if name != self.measuring:
        process.stop()
    self.limit = min(self.deadline, time.monotonic() + MEASURING)
    self.processes[self.measuring].go()

  def _ended(self, name: str) -> None:
    error = self.processes.pop(name).end()
    self.ready.discard(name)
    self.report.close(name, f"failed: {error}" if error else "done")
    if error and self.second_try and not self.flags.get(name):
      again = f"{name}, {self.second_try}"
      self.flags[again] = self.second_try
      self.commands[again] = self.commands[name]
      self.order[again] = self.order[name]
      self.waiting.appendleft(again)
    if name == self.measuring:
      self.measuring, self.limit = None, self.deadline
      for process in self.processes.values():
        process.resume()


class Report:
  """Figures by part; in the file, and printed, as soon as there are any."""

  def __init__(self, path: pathlib.Path):
    self.path, self.begin = path, time.monotonic()
    self.parts: dict[str, dict[str, Any]] = {}
    self.states: dict[str, str] = {}

  def add(self, name: str, figures: Mapping[str, Any]) -> None:
    self.parts.setdefault(name, {}).update(figures)
    if figures:
      self._print(
        name, ", ".join(f"{k} {_text(v)}" for k, v in figures.items())
      )
    self._write()

  def close(self, name: str, state: str) -> None:
    self.states[name] = state
    if state != "done":
      shown = state if len(state) < 600 else f"failed: ... {state[-500:]}"
      self._print(name, shown)
    self._write()

  @property
  def failed(self) -> list[str]:
    return [n for n, state in self.states.items() if state.startswith("failed")]

  def _print(self, name: str, text: str) -> None:
    print(f"{time.monotonic() - self.begin:5.0f} s  {name}: {text}", flush=True)

  def _write(self) -> None:
    content = {
      "command": shlex.join(sys.argv),
      "date": time.strftime("%Y-%m-%d"),
      "seconds": round(time.monotonic() - self.begin, 1),
      "states": self.states,
      "parts": self.parts,
    }
    new = self.path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1))
    new.replace(self.path)


def _text(value: Any) -> str:
  return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(argv: list[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--out", type=pathlib.Path, required=True)
  parser.add_argument("--seconds", type=float, default=420.0)
  parser.add_argument("--jobs", type=int, default=os.cpu_count())
  parser.add_argument("--tiny", action="store_true", help="as on a CPU")
  parser.add_argument("--only", nargs="*", help="parts; all by default")
  args = parser.parse_args(argv)
  deadline = time.monotonic() + args.seconds
  # Imported late: what follows asks for a device, and this needs none.
  from benchmarks.accelerator_parts import SECOND_TRY, parts
  from benchmarks.accelerator_sizes import SIZES

  size = "tiny" if args.tiny or _platform() == "cpu" else "full"
  known = parts(SIZES[size])
  names = args.only or list(known)
  if unknown := sorted(set(names) - set(known)):
    raise UserError(f"parts {unknown} are not known; give some of {[*known]}")
  # So that no part outlives this process.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  args.out.mkdir(parents=True, exist_ok=True)
  report = Report(args.out / "accelerator.json")
  command = [sys.executable, "-m", "benchmarks.accelerator_parts"]
  Run(
    {name: [*command, name, size] for name in names},
    {name: known[name].flags for name in names},
    report, deadline, args.jobs, SECOND_TRY,
  )()  # fmt: skip
  print(f"{len(report.states)} parts, failed: {report.failed or 'none'}")
  return 1 if report.failed else 0


def _platform() -> str:
  """Asked in a process of its own, so that none of the card is held here."""
  command = "import jax; print(jax.default_backend())"
  run = subprocess.run(
    [sys.executable, "-c", command],
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  return run.stdout.strip()


if __name__ == "__main__":
  sys.exit(main())
