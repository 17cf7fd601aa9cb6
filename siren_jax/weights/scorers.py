"""Published weights of the evaluation networks: VGGish and PANNs' Cnn14.

VGGish as torchvggish names it (features.0.weight, ...), Cnn14 as PANNs does
(conv_block1.conv1.weight, ...). Torch's filters are [out, in, time, mel], ours
[time, mel, in, out]; batch norm becomes part of them.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from siren_jax.common.errors import UserError
from siren_jax.evaluation.networks import (
  CNN14_16K,
  CNN14_32K,
  Cnn14Config,
  VGGishConfig,
  init_cnn14,
  init_vggish,
)
from siren_jax.storage import components
from siren_jax.weights import published
from siren_jax.weights.published import (
  BATCH_NORM,
  Entry,
  dense,
  same,
  scale_shift,
)

_FOURIER = "spectrogram_extractor.stft.conv_real.weight"
# Google's PCA for quantization, which FAD does not use.
_VGGISH_SPARE = ("pproc.*",)
_CNN14_SPARE = (
  "*.num_batches_tracked",
  "spectrogram_extractor.*",
  "logmel_extractor.*",
)
# Places of convolutions in torchvggish's sequence, by ours.
_VGGISH_CONVS = {
  "conv_0_0": 0,
  "conv_1_0": 3,
  "conv_2_0": 6,
  "conv_2_1": 8,
  "conv_3_0": 11,
  "conv_3_1": 13,
}
_VGGISH_DENSE = {"dense_0": 0, "dense_1": 2, "embedding": 4}


def load_vggish(path: str | os.PathLike) -> tuple[VGGishConfig, Any]:
  """Config and parameters of VGGish.

  Raises:
    UserError: not readable, or not a VGGish.
  """
  config = VGGishConfig()
  shapes = components.shapes(init_vggish, config)
  with published.tensors(path) as source:
    return config, published.fill(source, _vggish(), shapes, _VGGISH_SPARE)


def load_cnn14(path: str | os.PathLike) -> tuple[Cnn14Config, Any]:
  """Config and parameters of a Cnn14; its Fourier filters tell the rate.

  Raises:
    UserError: not readable, or no Cnn14 of 16 or 32 kHz.
  """
  with published.tensors(path) as source:
    window = source.shapes.get(_FOURIER, (0, 0, 0))[-1]
    configs = {c.window: c for c in (CNN14_16K, CNN14_32K)}
    if window not in configs:
      raise UserError(
        f"{path} is not a Cnn14 of 16 or 32 kHz: {_FOURIER} is"
        f" {window or 'missing'}"
      )
    config = configs[window]
    shapes = components.shapes(init_cnn14, config)
    return config, published.fill(source, _cnn14(), shapes, _CNN14_SPARE)


def _vggish() -> Iterator[Entry]:
  for ours, place in _VGGISH_CONVS.items():
    name = f"features.{place}"
    yield Entry(f"{ours}/conv/kernel", (f"{name}.weight",), _filters)
    yield Entry(f"{ours}/conv/bias", (f"{name}.bias",), same)
  for ours, place in _VGGISH_DENSE.items():
    yield from dense(ours, f"embeddings.{place}")


def _cnn14() -> Iterator[Entry]:
  norm = tuple(f"bn0.{part}" for part in BATCH_NORM)
  yield Entry("mel_scale", norm, lambda *parts: scale_shift(*parts)[0])
  yield Entry("mel_shift", norm, lambda *parts: scale_shift(*parts)[1])
  for i in range(6):
    for j in range(2):
      block, ours = f"conv_block{i + 1}", f"conv_{i}_{j}/conv"
      norm = tuple(f"{block}.bn{j + 1}.{part}" for part in BATCH_NORM)
      filters = f"{block}.conv{j + 1}.weight"
      yield Entry(f"{ours}/kernel", (filters, *norm), _scaled_filters)
      yield Entry(f"{ours}/bias", norm, lambda *parts: scale_shift(*parts)[1])
  yield from dense("dense", "fc1")
  yield from dense("classes", "fc_audioset")


def _filters(x: np.ndarray) -> np.ndarray:
  return x.transpose(2, 3, 1, 0)


def _scaled_filters(filters: np.ndarray, *norm: np.ndarray) -> np.ndarray:
  return _filters(filters) * scale_shift(*norm)[0]
