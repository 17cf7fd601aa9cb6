"""The published Descript Audio Codec: Hugging Face's folder, or Descript's.

Theirs are torch's convolutions [out, in, taps], transposed ones [in, out,
taps]; ours [taps, in, out], and dense layers where there is one tap.
"""

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from siren_jax.codec import model as codec_model
from siren_jax.codec.config import DacConfig
from siren_jax.common import config as configs
from siren_jax.common import files, paths
from siren_jax.common.errors import UserError, about
from siren_jax.storage import components
from siren_jax.weights import published
from siren_jax.weights.published import Entry, same

_UNITS = 3
# Hz, by strides of the encoder and number of codebooks.
_RATES = {
  ((2, 4, 5, 8), 12): 16000,
  ((2, 4, 5, 8), 32): 24000,
  ((2, 4, 8, 8), 9): 44100,
}
_MOST = 64  # blocks, and codebooks, that are looked for


class _Layer(NamedTuple):
  """One layer: our path, its name at Hugging Face's and at Descript's."""

  kind: str  # "filter", "up", "snake", "dense", "table"
  path: str
  hugging_face: str
  descript: str


def load(
  path: str | os.PathLike, sample_rate: int | None = None
) -> codec_model.Codec:
  """Reads either publisher's checkpoint; sizes are inferred from its tensors.

  Args:
    path: folder as on the Hub (its config.json has the sample rate), or one
      file of tensors.
    sample_rate: Hz, where no config.json says it; None: that of the published
      model of these sizes.

  Raises:
    UserError: not readable, not a DAC, or of an unknown sample rate.
  """
  path = paths.local(path)
  settings = path / "config.json"
  if settings.is_file():
    values = files.read_json(settings, "download it again")
    if not isinstance(values, dict):
      raise UserError(f"{settings}: not a JSON object; download it again")
    sample_rate = values.get("sampling_rate", sample_rate)
  with published.tensors(path) as source:
    sizes = _sizes(source)
    if sample_rate is None:
      sample_rate = _published_rate(path, sizes)
    sizes["sample_rate"] = sample_rate
    with about(settings if settings.is_file() else path):
      config = configs.from_dict(DacConfig, sizes)
    params = published.fill(source, plan(config, source), shapes(config))
  return codec_model.Codec(config, params)


def _published_rate(path: pathlib.Path, sizes: dict[str, Any]) -> int:
  """The sample rate of Descript's model of these sizes."""
  strides, books = tuple(sizes["strides"]), sizes["num_codebooks"]
  if (strides, books) not in _RATES:
    raise UserError(
      f"{path}: nothing says its sample rate, and no published model has"
      f" strides {strides} and {books} codebooks; put it into a folder with a"
      ' config.json such as {"sampling_rate": 16000}'
    )
  return _RATES[strides, books]


def shapes(config: DacConfig) -> Any:
  """Tree of our parameters' shapes."""
  return components.shapes(codec_model.init, config)


def plan(config: DacConfig, names: Iterable[str]) -> Iterator[Entry]:
  """Plan from `names`, of either publisher, to our parameters."""
  descript = _is_descript(names)
  for layer in _layers(config):
    theirs = layer.descript if descript else layer.hugging_face
    if layer.kind == "snake":
      yield Entry(f"{layer.path}/alpha", (f"{theirs}.alpha",), np.ravel)
    elif layer.kind == "table":
      yield Entry(layer.path, (f"{theirs}.weight",), same)
    else:
      make = _MAKE[layer.kind]
      yield Entry(f"{layer.path}/kernel", (f"{theirs}.weight",), make)
      yield Entry(f"{layer.path}/bias", (f"{theirs}.bias",), same)


_MAKE = {
  "filter": lambda x: x.transpose(2, 1, 0),
  "up": lambda x: x.transpose(2, 0, 1),
  "dense": lambda x: x[..., 0].T,
}


def _sizes(source: published.Tensors) -> dict[str, Any]:
  """Config fields inferred from the shapes of `source`."""
  first, down, out = (
    ("encoder.block.0", "encoder.block.{}.block.4", "decoder.model.0")
    if _is_descript(source)
    else ("encoder.conv1", "encoder.block.{}.conv1", "decoder.conv1")
  )

  def shape(layer: str) -> Sequence[int] | None:
    return source.shapes.get(f"{layer}.weight")

  try:
    downs = [s for i in range(_MOST) if (s := shape(down.format(i)))]
    tables = [
      s
      for n in range(_MOST)
      if (s := shape(f"quantizer.quantizers.{n}.codebook"))
    ]
    return dict(
      encoder_width=source.shapes[f"{first}.weight"][0],
      decoder_width=source.shapes[f"{out}.weight"][0],
      strides=tuple(taps // 2 for _, _, taps in downs),
      num_codebooks=len(tables),
      codebook_size=tables[0][0],
      code_dim=tables[0][1],
    )
  except (LookupError, ValueError) as error:
    raise UserError(
      f"{source.where} is not a Descript Audio Codec: it lacks {first}.weight"
      " or related tensors; import-weights dac takes Hugging Face's folder or"
      " Descript's weights"
    ) from error


def _is_descript(names: Iterable[str]) -> bool:
  return any(name.startswith("decoder.model.") for name in names)


def _layers(config: DacConfig) -> Iterator[_Layer]:
  last = len(config.strides) + 1
  for side, body in (("encoder", "block"), ("decoder", "model")):
    theirs = f"{side}.{body}"
    yield _Layer("filter", f"{side}/first", f"{side}.conv1", f"{theirs}.0")
    for i in range(len(config.strides)):
      yield from _block(side, i, f"{theirs}.{i + 1}.block")
    yield _Layer("snake", f"{side}/snake", f"{side}.snake1", f"{theirs}.{last}")
    yield _Layer(
      "filter", f"{side}/last", f"{side}.conv2", f"{theirs}.{last + 1}"
    )
  for n in range(config.num_codebooks):
    ours, theirs = f"quantizer/stage_{n}", f"quantizer.quantizers.{n}"
    for name, their in (("project_in", "in_proj"), ("project_out", "out_proj")):
      their = f"{theirs}.{their}"
      yield _Layer("dense", f"{ours}/{name}", their, their)
    codebook = f"{theirs}.codebook"
    yield _Layer("table", f"{ours}/codebook", codebook, codebook)


def _block(side: str, i: int, descript: str) -> Iterator[_Layer]:
  """Units, a Snake and a rate change; in the decoder, the units come last."""
  block = f"{side}.block.{i}"
  encodes = side == "encoder"
  first_unit, first_other = (0, _UNITS) if encodes else (2, 0)
  for j in range(_UNITS):
    unit = f"{descript}.{first_unit + j}.block"
    for k, (kind, ours, theirs) in enumerate(
      (
        ("snake", "snake_in", "snake1"),
        ("filter", "filter", "conv1"),
        ("snake", "snake_out", "snake2"),
        ("filter", "mix", "conv2"),
      )
    ):
      yield _Layer(
        kind,
        f"{side}/unit_{i}_{j}/{ours}",
        f"{block}.res_unit{j + 1}.{theirs}",
        f"{unit}.{k}",
      )
  yield _Layer(
    "snake", f"{side}/snake_{i}", f"{block}.snake1", f"{descript}.{first_other}"
  )
  kind, ours, theirs = (
    ("filter", "down", "conv1") if encodes else ("up", "up", "conv_t1")
  )
  yield _Layer(
    kind,
    f"{side}/{ours}_{i}",
    f"{block}.{theirs}",
    f"{descript}.{first_other + 1}",
  )
