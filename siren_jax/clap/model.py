"""CLAP as pure functions of parameters, and bound to them for users."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

from siren_jax.audio.resample import resample, resampled_size
from siren_jax.clap import tokenizer as tokenizers
from siren_jax.clap.audio_tower import AudioEncoder
from siren_jax.clap.config import ClapConfig
from siren_jax.clap.laion import LaionConfig, LaionModel
from siren_jax.clap.text_tower import TextEncoder, dense
from siren_jax.common import mesh as meshes
from siren_jax.common.masks import masked_mean
from siren_jax.common.precision import exact
from siren_jax.storage import components, folders

Config = ClapConfig | LaionConfig  # `kind` says which

# Heads that only the loss needs: kept in checkpoints, not in bundles.
TRAINING_ONLY = "training"


class ClapModel(nn.Module):
  """Both towers, each with a linear map to the shared space.

  The text embedding is linear in the masked mean of the tokens: texts close in
  one are close in the other, so the experts, which read the tokens, benefit
  from what the embedding has learned.
  """

  config: ClapConfig

  def setup(self) -> None:
    cfg = self.config
    self.text = TextEncoder(cfg.text)
    self.audio = AudioEncoder(cfg.audio)
    self.project_text = dense(cfg.embed_dim, ("embed", None), None)
    self.project_audio = dense(cfg.embed_dim, ("embed", None), None)

  def embed_text(
    self, ids_BxP: jax.Array, mask_BxP: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """tokens_BxPxC (zero where padded) and embedding_BxE, any length."""
    tokens_BxPxC = self.text(ids_BxP, mask_BxP) * mask_BxP[..., None]
    mean_BxC = masked_mean(tokens_BxPxC, mask_BxP[..., None], axis=1)
    return tokens_BxPxC, self.project_text(mean_BxC)

  def embed_audio(
    self, audio_BxS: jax.Array, num_samples: jax.Array | None = None
  ) -> jax.Array:
    """embedding_BxE, any length; see `encode_audio`."""
    return self.project_audio(self.audio(audio_BxS, num_samples))


def module(config: Config) -> ClapModel | LaionModel:
  """The model of that kind."""
  if isinstance(config, LaionConfig):
    return LaionModel(config)
  return ClapModel(config)


def _apply(params: Any, config: Config, method: str, *arrays: Any) -> Any:
  return module(config).apply({"params": params}, *arrays, method=method)


def init(key: jax.Array, config: Config) -> Any:
  """Random parameters, boxed in their logical axis names."""

  def embed(model: Any, ids_BxP: jax.Array, audio_BxS: jax.Array) -> Any:
    return model.embed_text(ids_BxP, ids_BxP == 0), model.embed_audio(audio_BxS)

  ids_BxP = jnp.zeros((1, 2), jnp.int32)
  audio_BxS = jnp.zeros((1, config.audio.sample_rate))
  variables = module(config).init(key, ids_BxP, audio_BxS, method=embed)
  return variables["params"]


def normalize(x_BxE: jax.Array) -> jax.Array:
  """Rows of length one (zero rows stay finite)."""
  square = jnp.sum(x_BxE**2, axis=-1, keepdims=True)
  return x_BxE * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def encode_text(
  params: Any, config: Config, ids_BxP: jax.Array, mask_BxP: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Last hidden states and the sentence embedding of tokenized prompts.

  Args:
    params: from `init`, unboxed.
    config: the model's shapes.
    ids_BxP: token ids, P at most `config.text.max_tokens`.
    mask_BxP: true for tokens, false for padding.

  Returns:
    tokens_BxPxC (zero where padded) and embedding_BxE of length one.
  """
  chex.assert_rank([ids_BxP, mask_BxP], 2)
  chex.assert_equal_shape([ids_BxP, mask_BxP])
  tokens_BxPxC, embedding_BxE = _apply(
    params, config, "embed_text", ids_BxP, mask_BxP
  )
  return tokens_BxPxC, normalize(embedding_BxE)


def encode_audio(
  params: Any,
  config: Config,
  audio_BxS: jax.Array,
  sample_rate: int | None = None,
  num_samples: int | jax.Array | None = None,
) -> jax.Array:
  """Embedding of audio of any length.

  Args:
    params: from `init`, unboxed.
    config: the model's shapes.
    audio_BxS: at least one sample.
    sample_rate: None: that of `config.audio`.
    num_samples: length of the audio in each row, at least one; None: all. It
      may be traced, so that one program serves all lengths up to S.

  Returns:
    embedding_BxE of length one.
  """
  chex.assert_rank(audio_BxS, 2)
  new_rate = config.audio.sample_rate
  rate = sample_rate or new_rate
  audio = resample(_silenced(audio_BxS, num_samples), rate, new_rate)
  if num_samples is not None:
    num_samples = resampled_size(num_samples, rate, new_rate)
    audio = _silenced(audio, num_samples)
  return normalize(_apply(params, config, "embed_audio", audio, num_samples))


def _silenced(
  audio_BxS: jax.Array, num_samples: int | jax.Array | None
) -> jax.Array:
  """Sets samples from `num_samples` on to zero; None: none."""
  if num_samples is None:
    return audio_BxS
  inside_S = jnp.arange(audio_BxS.shape[1]) < num_samples
  return jnp.where(inside_S, audio_BxS, 0)


@dataclasses.dataclass(frozen=True)
class Clap:
  """A trained CLAP with its tokenizer.

  Its parameters are on the device.
  """

  config: Config
  params: Any
  tokenizer: Tokenizer

  def __post_init__(self) -> None:
    object.__setattr__(self, "params", jax.device_put(self.params))

  def encode_text(
    self, texts: Sequence[str], log_cuts: bool = True
  ) -> tuple[jax.Array, np.ndarray, jax.Array]:
    """tokens_BxPxC, mask_BxP and embedding_BxE of prompts.

    Args:
      log_cuts: warn of each prompt that is truncated.

    Raises:
      UserError: a prompt is empty.
    """
    ids_BxP, mask_BxP = tokenizers.tokenize(
      self.tokenizer, texts, self.config.text.max_tokens, log_cuts
    )
    tokens, embedding = _encode_text(
      self.params, self.config, *meshes.put((ids_BxP, mask_BxP))
    )
    return tokens, mask_BxP, embedding

  def encode_audio(
    self, audio_BxS: jax.Array | np.ndarray, num_samples: int | None = None
  ) -> jax.Array:
    """embedding_BxE of audio at `config.audio.sample_rate`, any length.

    `num_samples`: length of the audio in each row; None: all.
    """
    audio_BxS, num_samples = meshes.put((audio_BxS, num_samples))
    return _encode_audio(
      self.params, self.config, audio_BxS, num_samples=num_samples
    )

  def word_vectors(self, words: Sequence[str]) -> np.ndarray:
    """Input embeddings of words, [U, W] of length one, float32.

    The mean over a word's tokens, each of length one; zero without tokens. W is
    the width of the text tower's embedding table.
    """
    encodings = self.tokenizer.encode_batch(
      list(words), add_special_tokens=False
    )
    sizes = [len(encoding.ids) for encoding in encodings]
    word_N = np.repeat(np.arange(len(sizes)), sizes)
    ids_N = np.fromiter((i for e in encodings for i in e.ids), int)
    vectors_UxW = np.zeros((len(sizes), self._words_VxW.shape[1]), np.float32)
    np.add.at(vectors_UxW, word_N, of_length_one(self._words_VxW[ids_N]))
    return of_length_one(vectors_UxW)

  @functools.cached_property
  def _words_VxW(self) -> np.ndarray:
    """The text tower's embedding table, on the host."""
    return jax.device_get(self.params["text"]["words"])

  def similarity(
    self, texts: Sequence[str], audio_BxS: jax.Array | np.ndarray
  ) -> jax.Array:
    """Cosine of every text (rows) with every clip (columns)."""
    return _cosines(self.encode_text(texts)[2], self.encode_audio(audio_BxS))


def load(folder: str | os.PathLike) -> Clap:
  """CLAP of a bundle (folder or name) or of a `train-clap` work directory.

  Raises:
    UserError: there is none, a tensor does not fit the config or is not finite,
      or the tokenizer knows more words than the text tower.
  """
  folder = folders.find(folder)
  kinds: Any = Config  # mypy does not take a union as a type
  config, params = components.load(folder, "clap", kinds, init)
  params = {k: v for k, v in params.items() if k != TRAINING_ONLY}
  words = tokenizers.load(folder / "tokenizer.json", config.text.vocab_size)
  return Clap(config, params, words)


def of_length_one(x_UxW: np.ndarray) -> np.ndarray:
  """Rows of length one, float32; zero rows stay zero."""
  x_UxW = x_UxW.astype(np.float32)
  length_Ux1 = np.linalg.norm(x_UxW, axis=1, keepdims=True)
  return x_UxW / np.maximum(length_Ux1, 1e-6)


@exact
def _cosines(texts_QxE: jax.Array, audio_BxE: jax.Array) -> jax.Array:
  """Cosines [Q, B] of unit-length embeddings."""
  return texts_QxE @ audio_BxE.T


_encode_text = jax.jit(encode_text, static_argnames="config")
_encode_audio = jax.jit(encode_audio, static_argnames="config")
