"""Pictures of mel spectrograms in decibels."""

import io
from typing import IO, Any

import numpy as np

from siren_jax.audio import mel, stft
from siren_jax.audio.loudness import Samples

_FLOOR_DB = -80.0
_FULL = 100.0  # power at 0 dB: an absolute scale, for comparable pictures
_BANDS = 96
_FFT, _HOP = 2048, 512
_COLUMNS = 1000  # about the width of the picture in pixels
_FRAMES_AT_ONCE = 1024
_KILOHERTZ = (0.25, 0.5, 1, 2, 4, 8, 16)


def save(
  file: IO[bytes], sound: Samples, sample_rate: int, title: str = ""
) -> None:
  """Writes the mel spectrogram of a sound as PNG."""
  figure_of(sound, sample_rate, title).savefig(file, format="png", dpi=120)


def figure_of(sound: Samples, sample_rate: int, title: str = "") -> Any:
  """Matplotlib's `Figure` of the mel spectrogram of a sound."""
  from matplotlib import figure

  fig = figure.Figure(figsize=(6, 3), layout="constrained")
  axes = fig.add_subplot(xlabel="seconds", ylabel="kHz")
  axes.set_title(title, parse_math=False)  # prices are no formulas
  draw(axes, sound, sample_rate)
  return fig


def image(sound: Samples, sample_rate: int) -> bytes:
  """The mel spectrogram of a sound as PNG, from edge to edge, without axes."""
  from matplotlib import image as images

  picture = io.BytesIO()
  images.imsave(
    picture,
    _decibels(sound, sample_rate),
    format="png",
    origin="lower",
    cmap="magma",
    vmin=_FLOOR_DB,
    vmax=0,
  )
  return picture.getvalue()


def draw(axes: Any, sound: Samples, sample_rate: int) -> None:
  """Draws the mel spectrogram of a sound into Matplotlib's `Axes`.

  A sound on disk is read block by block.
  """
  axes.imshow(
    _decibels(sound, sample_rate),
    origin="lower",
    aspect="auto",
    cmap="magma",
    vmin=_FLOOR_DB,
    vmax=0,
    extent=(0, len(sound) / sample_rate, 0, _BANDS),
  )
  highest = mel.from_hz(sample_rate / 2, "slaney")
  centres_M = mel.to_hz(np.linspace(0, highest, _BANDS), "slaney")
  ticks = [k for k in _KILOHERTZ if 2000 * k <= sample_rate]
  axes.set_yticks(
    np.interp(np.array(ticks) * 1e3, centres_M, np.arange(_BANDS)),
    [f"{k:g}" for k in ticks],
  )


def _decibels(sound: Samples, sample_rate: int) -> np.ndarray:
  """Levels [M, X] of mel bands in dB, at least `_FLOOR_DB`."""
  floor = _FULL * 10 ** (_FLOOR_DB / 10)
  mel_MxX = _columns(sound, sample_rate)
  return 10 * np.log10(np.maximum(mel_MxX, floor) / _FULL)


def _columns(sound: Samples, sample_rate: int) -> np.ndarray:
  """Power [M, X] of mel bands; a column is a frame or the mean of several.

  Frames are centred on every `_HOP`-th sample, with silence beyond the ends.
  """
  frames = 1 + len(sound) // _HOP
  each = -(-frames // _COLUMNS)  # frames of a column
  at_once = max(1, _FRAMES_AT_ONCE // each) * each
  columns = []
  for first in range(0, frames, at_once):
    count = min(at_once, frames - first)
    start = first * _HOP - _FFT // 2
    stop = start + (count - 1) * _HOP + _FFT
    audio_S = np.pad(
      sound[max(0, start) : stop],
      (max(0, -start), max(0, stop - len(sound))),
    )
    windowed_TxW = stft.frame(audio_S, _FFT, _HOP, "valid") * stft.hann(_FFT)
    power_TxW = stft.power(np.fft.rfft(windowed_TxW))
    power_TxM = power_TxW @ mel.filters(sample_rate, _FFT, _BANDS)
    starts = np.arange(0, count, each)
    sizes = np.diff(starts, append=count)
    columns.append(np.add.reduceat(power_TxM, starts) / sizes[:, None])
  return np.concatenate(columns).T
