"""Sounds in a notebook, sounds as files, and how a `Siren` prints itself."""

import html
import io
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from siren_jax.api import requests
from siren_jax.api.sounds import Sound
from siren_jax.audio import sound_files, spectrogram
from siren_jax.common.errors import UserError

if TYPE_CHECKING:
  from siren_jax.api.siren import Siren

Audio = jax.Array | np.ndarray | Sound
RATE = 16_000  # of the built-in bundles, in Hz

_log = logging.getLogger(__name__)


def play(audio: Audio, sample_rate: int = RATE) -> None:
  """Shows a player for each sound, in a notebook.

  Args:
    audio: audio_S, audio_BxS or a `Sound`; clipped to [-1, 1].
    sample_rate: `Siren.sample_rate`, in Hz.

  Raises:
    UserError: this is not a notebook, or `audio` has the wrong shape.
  """
  display = _display("play")
  from IPython import display as widgets

  for audio_S in _rows(audio):
    clipped_S = np.clip(audio_S, -1, 1)
    display(widgets.Audio(clipped_S, rate=sample_rate, normalize=False))


def show(
  audio: Audio,
  sample_rate: int = RATE,
  title: str = "",
) -> None:
  """Shows the mel spectrogram of each sound, in a notebook.

  Args:
    audio, sample_rate: see `play`.
    title: of each picture; by default the prompt of a `Sound`.

  Raises:
    UserError: see `play`.
  """
  display = _display("show")
  from IPython.display import Image

  if isinstance(audio, Sound):
    title = title or audio.prompt
  for audio_S in _rows(audio):
    picture = io.BytesIO()
    spectrogram.save(picture, audio_S, sample_rate, title)
    display(Image(picture.getvalue()))


def save(
  audio: Audio,
  path: str | os.PathLike,
  sample_rate: int = RATE,
) -> None:
  """Writes a sound to a file, replacing an existing one.

  Args:
    audio: audio_S, audio_BxS of one row, or a `Sound`.
    path: its suffix sets the format: .wav, .flac, .ogg or .mp3.
    sample_rate: `Siren.sample_rate`, in Hz.

  Raises:
    UserError: there are several sounds, the format is not supported, or the
      file cannot be written.
  """
  audio_BxS = _rows(audio)
  if len(audio_BxS) > 1:
    raise UserError(
      f"{len(audio_BxS)} sounds for one file {os.fspath(path)}; save them one"
      " at a time, such as audio_BxS[0]"
    )
  for note in sound_files.write_audio(path, audio_BxS[0], sample_rate):
    _log.warning("%s: %s", os.fspath(path), note)


def text(siren: "Siren") -> str:
  """One-line summary of a bundle, for `repr`."""
  facts = "; ".join(f"{name} {value}" for name, value in _facts(siren).items())
  return f"<Siren {siren.bundle.name!r}: {facts}>"


def table(siren: "Siren") -> str:
  """The same summary as HTML, for a notebook."""
  rows = "".join(
    f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
    for name, value in _facts(siren).items()
  )
  return f"<b>Siren {html.escape(siren.bundle.name)}</b><table>{rows}</table>"


def _facts(siren: "Siren") -> dict[str, str]:
  bundle = siren.bundle
  repertoire = bundle.repertoire
  kinds = {} if repertoire is None else {"kinds": str(len(repertoire.kinds))}
  method = bundle.sampling
  settings = ["greedy"] if method.greedy else []
  settings += [
    f"{name}={value:g}"
    for name in ("temperature", "top_k", "top_p", "guidance")
    if (value := getattr(method, name)) is not None and not method.greedy
  ]
  devices = jax.tree.leaves(bundle.codec.params)[0].devices()
  device = next(iter(devices)).device_kind
  return kinds | {
    "rate": f"{siren.sample_rate} Hz mono",
    "window": f"{bundle.max_seconds:g} s",
    "sampling": " ".join([*settings, f"candidates={bundle.candidates}"]),
    "device": f"{len(devices)} x {device}, {bundle.execution.dtype}",
  }


def _rows(audio: Audio) -> np.ndarray:
  """Sounds [B, S]."""
  array = audio.audio_S if isinstance(audio, Sound) else audio
  return requests.checked_batch(array)


def _display(name: str) -> Callable[[Any], Any]:
  """IPython's `display`.

  Raises:
    UserError: this is not a notebook.
  """
  ipython = sys.modules.get("IPython")
  shell = ipython and ipython.get_ipython()
  if getattr(shell, "kernel", None) is None:
    raise UserError(
      f"{name}: this is not a notebook; write a file with"
      " siren_jax.save(audio, 'sound.wav')"
    )
  from IPython.display import display

  return display
