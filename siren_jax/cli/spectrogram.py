"""A picture of a sound: mel bands in decibels over time."""

from typing import IO, Any

import numpy as np

from siren_jax.audio import mel, stft

_FLOOR_DB = -80.0  # below _FULL_POWER
_FULL_POWER = 100.0
_BANDS = 96
_FFT, _HOP = 2048, 512
_COLUMNS = 1000  # about what the picture has pixels
_FRAMES_AT_ONCE = 1024


def save(file: IO[bytes], sound: Any, sample_rate: int, title: str) -> None:
  """Writes the mel spectrogram of a sound as PNG.

  Args:
    sound: `audio.loudness.Samples`; read a block at a time.
  """
  from matplotlib import figure

  # An absolute scale, so that two pictures can be compared.
  power_MxX = _columns(sound, sample_rate) / _FULL_POWER
  db_MxX = 10 * np.log10(np.maximum(power_MxX, 10 ** (_FLOOR_DB / 10)))
  fig = figure.Figure(figsize=(6, 3), layout="constrained")
  axes = fig.add_subplot(title=title, xlabel="seconds", ylabel="kHz")
  axes.imshow(
    db_MxX,
    origin="lower",
    aspect="auto",
    cmap="magma",
    vmin=_FLOOR_DB,
    vmax=0,
    extent=(0, len(sound) / sample_rate, 0, _BANDS),
  )
  top = mel.from_hz(sample_rate / 2, "slaney")
  centres_M = mel.to_hz(np.linspace(0, top, _BANDS + 2)[1:-1], "slaney")
  kilohertz = [0.25, 0.5, 1, 2, 4, 8]
  axes.set_yticks(
    np.interp(np.array(kilohertz) * 1e3, centres_M, np.arange(_BANDS)),
    [f"{k:g}" for k in kilohertz],
  )
  fig.savefig(file, format="png", dpi=120)


def _columns(sound: Any, sample_rate: int) -> np.ndarray:
  """Power [M, X] of mel bands, one column for one frame or a mean of several.

  Frames are centred on every `_HOP`-th sample; beyond the ends is silence.
  """
  filters_WxM = mel.filters(sample_rate, _FFT, _BANDS)
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
    frames_TxW = stft.frame(audio_S, _FFT, _HOP, "valid") * stft.hann(_FFT)
    mel_MxT = (stft.power(np.fft.rfft(frames_TxW)) @ filters_WxM).T
    starts = np.arange(0, count, each)
    sizes = np.diff(starts, append=count)
    columns.append(np.add.reduceat(mel_MxT, starts, axis=1) / sizes)
  return np.concatenate(columns, axis=1)
