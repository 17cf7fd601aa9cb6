"""TensorBoard's event files, written at once.

tensorboardX's own `SummaryWriter` writes in a thread, which dies on a full disk
without a word; then the run waits for it forever.
"""

import io
import os
import time
from pathlib import Path
from typing import Any

import numpy as np


class Events:
  """An event file in `directory`; later steps of older files are hidden.

  All methods raise an `OSError` if the file cannot be written.
  """

  def __init__(self, directory: Path, step: int):
    """`step`: the last one that older files keep."""
    from tensorboardX import event_file_writer
    from tensorboardX.proto import event_pb2

    directory.mkdir(parents=True, exist_ok=True)
    self._file = event_file_writer.EventsWriter(
      str(directory / "events"), f".{os.getpid()}"
    )
    self._event = event_pb2.Event
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._file.write_event(self._event(step=step + 1, session_log=start))

  def scalar(self, name: str, value: float, step: int) -> None:
    """Adds a number."""
    from tensorboardX import summary

    self._add(summary.scalar(name, value), step)

  def sound(
    self, name: str, audio_S: np.ndarray, sample_rate: int, step: int
  ) -> None:
    """Adds a sound in [-1, 1]."""
    from tensorboardX import summary

    self._add(summary.audio(name, audio_S, sample_rate), step)

  def picture(self, name: str, figure: Any, step: int) -> None:
    """Adds Matplotlib's `Figure`."""
    from tensorboardX.proto import summary_pb2

    png = io.BytesIO()
    figure.savefig(png, format="png")
    width, height = figure.canvas.get_width_height()
    image = summary_pb2.Summary.Image(
      height=height,
      width=width,
      colorspace=4,  # RGBA
      encoded_image_string=png.getvalue(),
    )
    value = summary_pb2.Summary.Value(tag=name, image=image)
    self._add(summary_pb2.Summary(value=[value]), step)

  def flush(self) -> None:
    """Writes what was added."""
    self._file.flush()

  def close(self) -> None:
    """Writes what was added, and closes the file."""
    self._file.close()

  def _add(self, summary: Any, step: int) -> None:
    self._file.write_event(
      self._event(wall_time=time.time(), step=step, summary=summary)
    )
