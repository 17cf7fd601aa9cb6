"""Published weights of the networks that judge: VGGish and PANNs' Cnn14.

VGGish as torchvggish names it (features.0.weight, ...), Cnn14 as PANNs does
(conv_block1.conv1.weight, ...). Torch's filters are [out, in, time, mel], ours
[time, mel, in, out]; batch norm becomes part of them.
"""

import os
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.evaluation.networks import Cnn14, Cnn14Config, VGGish
from siren_jax.weights import published
from siren_jax.weights.published import Entry

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_EPSILON = 1e-5
# The PCA that Google's release quantizes with, which FAD does without.
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


def load_vggish(path: str | os.PathLike, network: VGGish = VGGish()) -> Any:
  """Parameters of VGGish.

  Raises:
    UserError: not readable, or not a VGGish.
  """
  with published.tensors(path) as found:
    shapes = _shapes(network, (1, 96, 64))
    return published.fill(found, _vggish(), shapes, _VGGISH_SPARE)


def load_cnn14(path: str | os.PathLike, config: Cnn14Config) -> Any:
  """Parameters of a Cnn14, 16 or 32 kHz as `config` says.

  Raises:
    UserError: not readable, or not a Cnn14.
  """
  with published.tensors(path) as found:
    shapes = _shapes(Cnn14(config), (1, config.sample_rate))
    return published.fill(found, _cnn14(), shapes, _CNN14_SPARE)


def _shapes(network: Any, shape: tuple[int, ...]) -> Any:
  return jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape))[
    "params"
  ]


def _vggish() -> Iterator[Entry]:
  for ours, place in _VGGISH_CONVS.items():
    name = f"features.{place}"
    yield Entry(f"{ours}/conv/kernel", (f"{name}.weight",), _filters)
    yield Entry(f"{ours}/conv/bias", (f"{name}.bias",), _same)
  for ours, place in _VGGISH_DENSE.items():
    yield from _dense(ours, f"embeddings.{place}")


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
  yield from _dense("dense", "fc1")
  yield from _dense("classes", "fc_audioset")


def _dense(ours: str, name: str) -> Iterator[Entry]:
  yield Entry(f"{ours}/kernel", (f"{name}.weight",), np.transpose)
  yield Entry(f"{ours}/bias", (f"{name}.bias",), _same)


def _same(x):
  return x


def _filters(x):
  return x.transpose(2, 3, 1, 0)


def scale_shift(weight, bias, mean, variance):
  """Batch norm as an affine map."""
  scale = weight / np.sqrt(variance + _EPSILON)
  return scale, bias - mean * scale


def _scaled_filters(filters, *norm):
  return _filters(filters) * scale_shift(*norm)[0]
