"""A picture of a sound: mel bands in decibels over time."""

from typing import IO

import numpy as np

_FLOOR_DB = -80.0


def save(
  file: IO[bytes], audio_S: np.ndarray, sample_rate: int, title: str
) -> None:
  """Writes the mel spectrogram of `audio_S` as PNG."""
  import librosa
  from matplotlib import figure

  mel_MxT = librosa.feature.melspectrogram(y=audio_S, sr=sample_rate, n_mels=96)
  # An absolute scale, so that two pictures can be compared.
  db_MxT = librosa.power_to_db(mel_MxT, ref=100.0, top_db=None)
  fig = figure.Figure(figsize=(6, 3), layout="constrained")
  axes = fig.add_subplot(title=title, xlabel="seconds", ylabel="kHz")
  axes.imshow(
    np.maximum(db_MxT, _FLOOR_DB),
    origin="lower",
    aspect="auto",
    cmap="magma",
    vmin=_FLOOR_DB,
    vmax=0,
    extent=(0, len(audio_S) / sample_rate, 0, len(db_MxT)),
  )
  centres_M = librosa.mel_frequencies(len(db_MxT), fmax=sample_rate / 2)
  kilohertz = [0.25, 0.5, 1, 2, 4, 8]
  axes.set_yticks(
    np.interp(np.array(kilohertz) * 1e3, centres_M, np.arange(len(db_MxT))),
    [f"{k:g}" for k in kilohertz],
  )
  fig.savefig(file, format="png", dpi=120)
