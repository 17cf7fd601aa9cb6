"""LAION's CLAP from a Hugging Face folder (laion/clap-htsat-unfused, ...).

transformers reads its config and its tokenizer, without torch.
Torch's dense layers are [out, in], ours [in, out]; a convolution that steps by
its own size is a dense layer over patches. Batch norm is folded in.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from siren_jax import clap
from siren_jax.clap import tokenizer
from siren_jax.clap.config import TextConfig
from siren_jax.clap.htsat import HtsatConfig
from siren_jax.clap.laion import ROBERTA, LaionConfig
from siren_jax.common import config as configs
from siren_jax.common import extras, files, paths
from siren_jax.common.errors import UserError, about
from siren_jax.storage import components
from siren_jax.weights import published
from siren_jax.weights.published import (
  BATCH_NORM,
  Entry,
  dense,
  same,
  scale_shift,
)

# The first two rows of RoBERTa's positions stand for padding.
_PADDING_ROWS = 2
_VOCABULARIES = ("tokenizer.json", "vocab.json")
# Ours to theirs.
_PREPROCESSING = {
  "sample_rate": "sampling_rate",
  "window": "fft_window_size",
  "hop": "hop_length",
  "low": "frequency_min",
  "high": "frequency_max",
  "seconds": "max_length_s",
}
_SPARE = (
  "logit_scale_*",
  "*.num_batches_tracked",
  "*.position_ids",
  "*.token_type_ids",
  "*.relative_position_index",
)


def load(folder: str | os.PathLike) -> tuple[LaionConfig, Any]:
  """Config and parameters.

  Raises:
    UserError: transformers is not installed, or the folder is not readable, or
      not the CLAP that its config describes.
  """
  folder = paths.local(folder)
  config = read_config(folder)
  shapes = components.shapes(clap.init, config)
  with published.tensors(folder) as source:
    params = published.fill(source, plan(config), shapes, _SPARE)
  return config, params


def load_tokenizer(folder: str | os.PathLike, vocab_size: int) -> Tokenizer:
  """The tokenizer of the text tower.

  Args:
    vocab_size: of the text tower.

  Raises:
    UserError: as `load`.
  """
  folder = paths.local(folder)
  # Without these files, transformers may invent a vocabulary.
  if not any((folder / name).is_file() for name in _VOCABULARIES):
    raise UserError(
      f"{folder}: neither {' nor '.join(_VOCABULARIES)}; download the"
      " folder again"
    )
  read = _transformers().AutoTokenizer.from_pretrained
  try:
    words = read(folder, local_files_only=True).backend_tokenizer
  except Exception as error:  # It raises what it likes.
    raise UserError(
      f"{folder}: transformers cannot read its tokenizer ({_reason(error)});"
      " download it again"
    ) from error
  return tokenizer.checked(words, vocab_size, folder)


def read_config(folder: Path) -> LaionConfig:
  """Sizes from config.json and preprocessor_config.json.

  Raises:
    UserError: as `load`.
  """
  path = folder / "config.json"
  files.read_json(path, "download it again")  # better message if it is missing
  read = _transformers().AutoConfig.from_pretrained
  try:
    values = read(folder, local_files_only=True)
    if values.model_type != "clap":
      raise ValueError(f"model_type {values.model_type!r}, expected 'clap'")
  except Exception as error:  # It raises what it likes.
    raise UserError(
      f"{path} is not a LAION CLAP config ({_reason(error)}); download it again"
    ) from error
  text, audio = values.text_config, values.audio_config
  settings = dict(
    text=dict(
      vocab_size=text.vocab_size,
      word_width=text.hidden_size,
      width=text.hidden_size,
      layers=text.num_hidden_layers,
      heads=text.num_attention_heads,
      mlp_width=text.intermediate_size,
      max_tokens=min(
        text.max_position_embeddings - _PADDING_ROWS, ROBERTA.max_tokens
      ),
      norm_eps=text.layer_norm_eps,
    ),
    audio=dict(
      num_mels=audio.num_mel_bins,
      picture=audio.spec_size,
      patch=audio.patch_size,
      width=audio.patch_embeds_hidden_size,
      blocks=audio.depths,
      heads=audio.num_attention_heads,
      grid=audio.window_size,
      fusion=audio.enable_fusion,
      **_preprocessing(folder),
    ),
    embed_dim=values.projection_dim,
  )
  with about(path):
    return configs.from_dict(LaionConfig, settings)


def _preprocessing(folder: Path) -> dict[str, Any]:
  """Settings of the spectrogram, if the folder has them.

  transformers reads preprocessor_config.json with torch only.
  """
  path = folder / "preprocessor_config.json"
  values = files.read_json(path, "download it again") if path.is_file() else {}
  if not isinstance(values, dict):
    raise UserError(f"{path}: not a JSON object; download it again")
  return {
    ours: values[theirs]
    for ours, theirs in _PREPROCESSING.items()
    if theirs in values
  }


def _transformers() -> Any:
  # Suppresses the warning that models need torch.
  os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
  return extras.load("transformers")


def _reason(error: Exception) -> str:
  return " ".join(f"{error!r:.300}".split())


def plan(config: LaionConfig) -> Iterator[Entry]:
  """How the published tensors become our parameters."""
  yield from _text(config.text)
  yield from _audio(config.audio)
  yield from dense("pool_text", "text_model.pooler.dense")
  for tower in ("text", "audio"):
    yield from dense(f"{tower}_head/in", f"{tower}_projection.linear1")
    yield from dense(f"{tower}_head/out", f"{tower}_projection.linear2")


def _text(config: TextConfig) -> Iterator[Entry]:
  theirs = "text_model.embeddings"
  yield Entry("text/words", (f"{theirs}.word_embeddings.weight",), same)
  # There is one type of token: its embedding is added to every position.
  yield Entry(
    "text/positions",
    (
      f"{theirs}.position_embeddings.weight",
      f"{theirs}.token_type_embeddings.weight",
    ),
    lambda positions, types: (
      positions[_PADDING_ROWS : _PADDING_ROWS + config.max_tokens] + types[0]
    ),
  )
  yield from _norm("text/norm", f"{theirs}.LayerNorm")
  for i in range(config.layers):
    ours, theirs = f"text/layer_{i}", f"text_model.encoder.layer.{i}"
    for name in ("query", "key", "value"):
      yield from dense(
        f"{ours}/attention/{name}", f"{theirs}.attention.self.{name}"
      )
    yield from dense(
      f"{ours}/attention/out", f"{theirs}.attention.output.dense"
    )
    yield from _norm(
      f"{ours}/attention_norm", f"{theirs}.attention.output.LayerNorm"
    )
    yield from dense(f"{ours}/up", f"{theirs}.intermediate.dense")
    yield from dense(f"{ours}/down", f"{theirs}.output.dense")
    yield from _norm(f"{ours}/mlp_norm", f"{theirs}.output.LayerNorm")


def _audio(config: HtsatConfig) -> Iterator[Entry]:
  theirs = "audio_model.audio_encoder"
  norm = tuple(f"{theirs}.batch_norm.{part}" for part in BATCH_NORM)
  yield Entry("audio/mel_scale", norm, lambda *x: scale_shift(*x)[0])
  yield Entry("audio/mel_shift", norm, lambda *x: scale_shift(*x)[1])
  embed = f"{theirs}.patch_embed"
  yield from dense("audio/patch", f"{embed}.proj", _patch)
  yield from _norm("audio/patch_norm", f"{embed}.norm")
  if config.fusion:
    yield from dense("audio/part_patch", f"{embed}.mel_conv2d", _patch)
    yield from _fusion(f"{embed}.fusion_model")
  yield from _norm("audio/norm", f"{theirs}.norm")
  for i, blocks in enumerate(config.blocks):
    layer = f"{theirs}.layers.{i}"
    if i + 1 < len(config.blocks):
      merge = f"audio/merge_{i + 1}"
      yield from _norm(f"{merge}/norm", f"{layer}.downsample.norm")
      yield Entry(
        f"{merge}/reduce/kernel",
        (f"{layer}.downsample.reduction.weight",),
        np.transpose,
      )
    for j in range(blocks):
      yield from _block(f"audio/block_{i}_{j}", f"{layer}.blocks.{j}")


def _block(ours: str, theirs: str) -> Iterator[Entry]:
  attention = f"{theirs}.attention.self"
  for name in ("query", "key", "value"):
    yield from dense(f"{ours}/attention/{name}", f"{attention}.{name}")
  yield Entry(
    f"{ours}/attention/bias",
    (f"{attention}.relative_position_bias_table",),
    same,
  )
  yield from dense(f"{ours}/attention/out", f"{theirs}.attention.output.dense")
  yield from _norm(f"{ours}/attention_norm", f"{theirs}.layernorm_before")
  yield from _norm(f"{ours}/mlp_norm", f"{theirs}.layernorm_after")
  yield from dense(f"{ours}/up", f"{theirs}.intermediate.dense")
  yield from dense(f"{ours}/down", f"{theirs}.output.dense")


def _fusion(theirs: str) -> Iterator[Entry]:
  """Two small networks of two layers, each with its batch norm."""
  for ours, name, first in (
    ("local", "local_att", 0),
    ("overall", "global_att", 1),
  ):
    for layer, place in (("in", first), ("out", first + 3)):
      weights = tuple(
        f"{theirs}.{name}.{place}.{p}" for p in ("weight", "bias")
      )
      norm = tuple(f"{theirs}.{name}.{place + 1}.{p}" for p in BATCH_NORM)
      path = f"audio/fusion/{ours}_{layer}"
      yield Entry(f"{path}/kernel", (weights[0], *norm), _scaled)
      yield Entry(f"{path}/bias", (weights[1], *norm), _scaled_bias)


def _norm(ours: str, theirs: str) -> Iterator[Entry]:
  yield Entry(f"{ours}/scale", (f"{theirs}.weight",), same)
  yield Entry(f"{ours}/bias", (f"{theirs}.bias",), same)


def _patch(x: np.ndarray) -> np.ndarray:
  """Filters [out, 1, h, w] as a dense layer over patches of h * w."""
  return x.reshape(len(x), -1).T


def _scaled(weight: np.ndarray, *norm: np.ndarray) -> np.ndarray:
  return weight[..., 0, 0].T * scale_shift(*norm)[0]


def _scaled_bias(bias: np.ndarray, *norm: np.ndarray) -> np.ndarray:
  scale, shift = scale_shift(*norm)
  return bias * scale + shift
