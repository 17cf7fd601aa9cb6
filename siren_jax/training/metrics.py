"""Output of training metrics: metrics.csv, TensorBoard, a progress bar.

Sounds go to TensorBoard only.
"""

import contextlib
import csv
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from siren_jax.common import files, paths
from siren_jax.common.errors import UserError
from siren_jax.training.events import Events

# Without tqdm's own rate, which includes pauses.
_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class MetricWriter:
  """One CSV row per step, and the same numbers as TensorBoard scalars.

  Opening it at `step` drops later rows: they belong to steps that were lost and
  will be repeated. If all steps were lost, possibly of another run, the rows
  are kept in metrics.previous.csv, or the first free metrics.previous-2.csv and
  so on.

  Attributes:
    kept: that file, if there was something to keep.

  Raises:
    UserError: metrics.csv is not a file of training metrics.
  """

  def __init__(self, workdir: Path, step: int):
    self._path = paths.local(workdir) / "metrics.csv"
    self.kept: Path | None = None
    if step == 0 and _read(self._path):
      previous = self._path.with_name("metrics.previous.csv")
      with files.unused(previous) as self.kept:
        os.replace(self._path, self.kept)
    self._rows = {s: r for s, r in _read(self._path).items() if s <= step}
    self._columns = list(
      dict.fromkeys(n for r in self._rows.values() for n in r)
    )
    self._events = _events(Path(workdir) / "tensorboard", step)
    if self._path.exists():
      self._rewrite()

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Adds scalars to the row of `step`.

    Raises:
      UserError: the file cannot be written (full disk).
    """
    known = step in self._rows or not set(scalars) <= set(self._columns)
    self._rows.setdefault(step, {}).update(
      {name: f"{value:.7g}" for name, value in scalars.items()}
    )
    self._columns += [n for n in scalars if n not in self._columns]
    with self._written():
      self._rewrite() if known else self._append(step)
      if self._events:
        for name, value in scalars.items():
          self._events.scalar(name, value, step)
        self._events.flush()

  def write_sounds(
    self, step: int, sounds: Mapping[str, np.ndarray], sample_rate: int
  ) -> None:
    """Adds sounds [B, S] and their spectrograms to TensorBoard.

    Raises:
      UserError: the file cannot be written (full disk).
    """
    if not (sounds and self._events):
      return
    from siren_jax.audio import spectrogram

    with self._written():
      for name, audio_BxS in sounds.items():
        for i, audio_S in enumerate(np.clip(audio_BxS, -1, 1)):
          tag = f"sound_{i}/{name}"
          picture = spectrogram.figure_of(audio_S, sample_rate)
          self._events.sound(tag, audio_S, sample_rate, step)
          self._events.picture(tag, picture, step)
      self._events.flush()

  @contextlib.contextmanager
  def _written(self) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      raise UserError(
        f"cannot write {self._path}: {error.strerror}; make room and run the"
        " same command again"
      ) from error

  def close(self) -> None:
    """Flushes and closes the TensorBoard file."""
    if self._events:
      with contextlib.suppress(OSError):  # Full disk: `write` said so.
        self._events.close()

  def _append(self, step: int) -> None:
    with self._path.open("a", newline="") as file:
      csv.writer(file).writerow(self._line(step))

  def _rewrite(self) -> None:
    temporary = self._path.with_suffix(".csv.tmp")
    with temporary.open("w", newline="") as file:
      lines = csv.writer(file)
      lines.writerow(["step", *self._columns])
      lines.writerows(self._line(step) for step in self._rows)
    os.replace(temporary, self._path)

  def _line(self, step: int) -> list[Any]:
    row = self._rows[step]
    return [step, *(row.get(name, "") for name in self._columns)]


class Pace:
  """Steps per second, without pauses.

  Everything but steps (compiling, evaluation, waiting for a checkpoint) belongs
  in `pause` and is not counted, nor are steps of an earlier process.
  """

  def __init__(self, clock: Callable[[], float] = time.monotonic):
    self._clock = clock
    self._first: int | None = None
    self._start = self._paused = 0.0

  @contextlib.contextmanager
  def pause(self) -> Iterator[None]:
    """Stops the clock within the block."""
    start = self._clock()
    try:
      yield
    finally:
      self._paused += self._clock() - start

  def rate(self, step: int) -> float | None:
    """Rate at the end of `step`; None before it can be measured."""
    if self._first is None:  # Reading the first batch may have taken long.
      self._first, self._start, self._paused = step, self._clock(), 0.0
    seconds = self._clock() - self._start - self._paused
    steps = step - self._first
    return steps / seconds if steps > 0 and seconds > 0 else None


class Progress:
  """A bar on a terminal and in a notebook, plain lines elsewhere."""

  def __init__(
    self,
    total: int,
    initial: int,
    what: str,
    clock: Callable[[], float] = time.monotonic,
  ):
    self._total, self._what = total, what
    self._pace = Pace(clock)
    self.pause = self._pace.pause
    self._bar = None
    if sys.stderr.isatty() or "ipykernel" in sys.modules:
      from tqdm.auto import tqdm  # not needed without a terminal

      self._bar = tqdm(total=total, initial=initial, desc=what, bar_format=_BAR)

  def advance(
    self, step: int, scalars: Mapping[str, float] | None = None
  ) -> None:
    """Moves to `step`; with `scalars`, shows them."""
    rate = self._pace.rate(step)
    pace = ""
    if rate:
      left = _duration((self._total - step) / rate)
      pace = f"  {rate:.3g} steps/s, {left} left"
    if self._bar:
      if scalars:
        self._bar.set_postfix_str(_show(scalars) + pace, refresh=False)
      self._bar.update(step - self._bar.n)
    elif scalars:
      self.print(f"{self._what} {step}/{self._total}  {_show(scalars)}{pace}")

  def print(self, line: str) -> None:
    """Prints a line without breaking the bar."""
    if self._bar:
      self._bar.write(line, file=sys.stderr)
    else:
      print(line, file=sys.stderr, flush=True)

  def close(self) -> None:
    """Leaves the bar as it stands."""
    if self._bar:
      self._bar.close()


def _show(scalars: Mapping[str, float]) -> str:
  return "  ".join(f"{name} {value:.4g}" for name, value in scalars.items())


def _duration(seconds: float) -> str:
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02}:{rest:02}"


def _read(path: Path) -> dict[int, dict[str, str]]:
  """Complete rows of a metrics file: step -> {name: text}."""
  if not path.exists():
    return {}
  try:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
      reader = csv.reader(file)
      header = next(reader, ["step"])
      # A killed process may leave an incomplete line, with too few cells.
      rows = [row for row in reader if len(row) == len(header)]
    return {
      int(row[0]): {n: v for n, v in zip(header[1:], row[1:], strict=True) if v}
      for row in rows
    }
  except (ValueError, csv.Error) as error:
    raise UserError(
      f"{path}: not the metrics of a run ({error}); move it away, or choose"
      " another work directory"
    ) from error


def _events(directory: Path, step: int) -> Events | None:
  """An event file, or None on a machine without tensorboardX."""
  if importlib.util.find_spec("tensorboardX") is None:
    return None
  return Events(directory, step)
