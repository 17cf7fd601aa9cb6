"""What the judge of kinds hears in a clip: statistics of its spectrogram.

How loud a clip is makes no difference; when its sounds come, next to none.
"""

import functools

import librosa
import numpy as np

from benchmarks.quality import RATE, SECONDS, varied

COPIES = 2  # varied ones of each clip
_HOP, _WINDOW, _FFT, _MELS, _MFCCS = 160, 512, 1024, 64, 20
_AUDIBLE_DB = 40  # below the loudest frame
_RANGE_DB = 80  # below the strongest band
_PITCH_LAGS = slice(RATE // 1000, RATE // 50)  # samples
_RISE_DB = 6  # in a frame: an onset


def rows_of(audio_S: np.ndarray, seed: int) -> np.ndarray:
  """Features of a clip and of its varied copies, [1 + COPIES, F]."""
  rng = np.random.default_rng(seed)
  copies = [copy_of(audio_S, rng) for _ in range(COPIES)]
  return np.stack([features(x) for x in (audio_S, *copies)])


@functools.cache
def _mel_bank() -> np.ndarray:
  return librosa.filters.mel(sr=RATE, n_fft=_FFT, n_mels=_MELS)


def features(audio_S: np.ndarray) -> np.ndarray:
  """Statistics [F] of the audible frames, and of the rhythm."""
  spectra = librosa.stft(
    at_full_scale(audio_S), n_fft=_FFT, win_length=_WINDOW, hop_length=_HOP,
    pad_mode="constant",
  )  # fmt: skip
  power_TxW = np.abs(spectra.T) ** 2 + 1e-10
  log_TxM = librosa.power_to_db(power_TxW @ _mel_bank().T, ref=np.max)
  log_TxM = np.maximum(log_TxM, -_RANGE_DB) / 20
  level_T = librosa.power_to_db(power_TxW.sum(1), ref=np.max) / 20
  audible_T = level_T > -_AUDIBLE_DB / 20
  weight_T = audible_T * 10**level_T
  weight_T = weight_T / weight_T.sum()
  mfcc_TxC = librosa.feature.mfcc(S=log_TxM.T, n_mfcc=_MFCCS).T / 8
  change_TxM, change_TxC = _changes(log_TxM), _changes(mfcc_TxC)
  log, mfcc = log_TxM[audible_T], mfcc_TxC[audible_T]
  parts = [
    log.mean(0),
    log.std(0),
    log.max(0),
    *np.percentile(log, [10, 50, 90], axis=0),
    weight_T @ log_TxM,
    np.abs(change_TxM[audible_T]).mean(0),
    change_TxM[audible_T].std(0),
    mfcc.mean(0),
    mfcc.std(0),
    weight_T @ mfcc_TxC,
    np.abs(change_TxC[audible_T]).mean(0),
    change_TxC[audible_T].std(0),
    _rhythm(log_TxM, level_T),
    _envelope(level_T, audible_T),
    _tonality(power_TxW, audible_T, weight_T),
  ]
  return np.concatenate(parts).astype(np.float32)


def at_full_scale(audio_S: np.ndarray) -> np.ndarray:
  """Silence stays silence."""
  return audio_S / (np.abs(audio_S).max() + 1e-9)


def _changes(values_TxC: np.ndarray) -> np.ndarray:
  return np.diff(values_TxC, axis=0, prepend=values_TxC[:1])


def _rhythm(log_TxM: np.ndarray, level_T: np.ndarray) -> np.ndarray:
  """Modulation spectra of the level and of eight bands, up to 25 Hz."""
  bands_TxC = log_TxM.reshape(len(log_TxM), 8, -1).mean(2)
  bands_TxC = np.column_stack([bands_TxC, np.maximum(level_T, -3.5)])
  spectra = np.abs(np.fft.rfft(bands_TxC - bands_TxC.mean(0), 1024, axis=0))
  edges = np.unique(np.geomspace(1, 257, 17).round().astype(int))
  sums = np.add.reduceat(spectra[: edges[-1]], edges[:-1], axis=0)
  return np.log10(sums / np.diff(edges)[:, None] + 1).ravel()


def _envelope(level_T: np.ndarray, audible_T: np.ndarray) -> np.ndarray:
  """How much is audible, how suddenly it begins and ends."""
  step_T = np.diff(level_T, prepend=level_T[0])
  return np.array(
    [
      audible_T.mean(),
      np.log10(audible_T.sum()),
      level_T[audible_T].mean(),
      level_T[audible_T].std(),
      np.sqrt((np.maximum(step_T, 0) ** 2).mean()),
      np.sqrt((np.minimum(step_T, 0) ** 2).mean()),
      (step_T > _RISE_DB / 20).mean(),
    ]
  )


def _tonality(
  power_TxW: np.ndarray, audible_T: np.ndarray, weight_T: np.ndarray
) -> np.ndarray:
  """Flatness of the spectrum; height and lag of the autocorrelation's peak."""
  flat_T = np.log10(
    librosa.feature.spectral_flatness(S=power_TxW.T, power=1)[0]
  )
  correlation_TxS = np.fft.irfft(power_TxW, axis=1)
  peaks_TxS = correlation_TxS[:, _PITCH_LAGS] / correlation_TxS[:, :1]
  height_T = peaks_TxS.max(1)
  lag_T = np.log2(peaks_TxS.argmax(1) + _PITCH_LAGS.start)
  flat, height, lag = (x[audible_T] for x in (flat_T, height_T, lag_T))
  return np.array(
    [
      *(flat.mean(), flat.std(), weight_T @ flat_T),
      *(height.mean(), height.std(), weight_T @ height_T),
      *(np.median(lag), lag.std(), np.abs(np.diff(lag, prepend=lag[0])).mean()),
    ]
  )


def laid_out(audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """As long as a sound that is made: once, or again and again with gaps."""
  size = SECONDS * RATE
  if len(audio_S) < size and rng.random() < 0.5:
    gap = np.zeros(rng.integers(1, 1 + min(size - len(audio_S), size // 3)))
    audio_S = np.resize(np.concatenate([audio_S, gap]), size)
  return librosa.util.fix_length(audio_S, size=size)


def copy_of(audio_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Laid out, through another equaliser, and `quality.varied`."""
  audio_S = librosa.effects.preemphasis(audio_S, coef=rng.uniform(-0.5, 0.5))
  return varied(laid_out(at_full_scale(audio_S), rng), rng)
