"""LAION's CLAP: RoBERTa and HTSAT in one space (Wu et al. 2023)."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.audio import mel
from siren_jax.clap.config import TextConfig
from siren_jax.clap.htsat import Htsat, HtsatConfig
from siren_jax.clap.text_tower import TextEncoder

_PARTS = 3  # of a longer clip, beside the whole

# LAION's own code reads 77 tokens; RoBERTa could read 512, and every prompt of
# a code set is as long as the longest may be.
ROBERTA = TextConfig(
  vocab_size=50265,
  word_width=768,
  width=768,
  layers=12,
  heads=12,
  mlp_width=3072,
  max_tokens=77,
  norm_eps=1e-12,
)


@dataclasses.dataclass(frozen=True)
class LaionConfig:
  """Both towers and the width E of the space they share; see `CONFIGS`."""

  kind: str = "laion"
  text: TextConfig = ROBERTA
  audio: HtsatConfig = HtsatConfig()
  embed_dim: int = 512


class LaionModel(nn.Module):
  """Both towers, each with a two-layer head."""

  config: LaionConfig

  def setup(self) -> None:
    cfg = self.config
    self.text = TextEncoder(cfg.text)
    self.audio = Htsat(cfg.audio)
    self.pool_text = nn.Dense(cfg.text.width)
    self.text_head = Head(cfg.embed_dim)
    self.audio_head = Head(cfg.embed_dim)

  def embed_text(
    self, ids_BxP: jax.Array, mask_BxP: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """tokens_BxPxC (zero where padded) and embedding_BxE, any length."""
    tokens_BxPxC = self.text(ids_BxP, mask_BxP)
    pooled_BxC = jnp.tanh(self.pool_text(tokens_BxPxC[:, 0]))
    return tokens_BxPxC * mask_BxP[..., None], self.text_head(pooled_BxC)

  def embed_audio(self, audio_BxS: jax.Array) -> jax.Array:
    """embedding_BxE, any length, of audio of any number of samples."""
    return self.embed_mel(*features(audio_BxS, self.config.audio))

  def embed_mel(self, mel_BxIxTxM: jax.Array, longer_B: jax.Array) -> jax.Array:
    return self.audio_head(self.audio(mel_BxIxTxM, longer_B))


class Head(nn.Module):
  """Two layers to the shared space."""

  width: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    return nn.Dense(self.width, name="out")(
      nn.relu(nn.Dense(self.width, name="in")(x))
    )


def features(
  audio_BxS: jax.Array, config: HtsatConfig
) -> tuple[jax.Array, jax.Array]:
  """Log mel frames [B, I, T, M] in dB, and which clips are longer [B].

  I counts pictures of a clip: 1, or 4 with fusion.

  Shorter clips are repeated as often as they fit whole, then padded with
  zeros. Longer ones are cut to their middle or, with fusion, squeezed, with
  three parts beside; where the reference draws a place at random, this takes
  the middle of what it draws from.
  """
  wanted = round(config.seconds * config.sample_rate)
  batch, length = audio_BxS.shape
  count = 1 + _PARTS * config.fusion
  if length <= wanted:
    repeated = jnp.tile(audio_BxS, (1, wanted // length))
    audio_BxS = jnp.pad(repeated, ((0, 0), (0, wanted - repeated.shape[1])))
  elif not config.fusion:
    start = (length - wanted) // 2
    audio_BxS = audio_BxS[:, start : start + wanted]
  mel_BxTxM = _log_mel(audio_BxS, config)
  total, frames = mel_BxTxM.shape[1], wanted // config.hop + 1
  if total == frames:
    longer_B = jnp.full(batch, length > wanted and not config.fusion)
    return jnp.repeat(mel_BxTxM[:, None], count, 1), longer_B
  parts = [
    mel_BxTxM[:, start : start + frames] for start in part_starts(total, frames)
  ]
  whole = jnp.einsum("st,btm->bsm", _bilinear(total, frames), mel_BxTxM)
  return jnp.stack([whole, *parts], 1), jnp.ones(batch, bool)


def part_starts(total: int, frames: int) -> list[int]:
  """First frames of the parts: the middles of three ranges of places."""
  ranges = np.array_split(np.arange(total - frames + 1), _PARTS)
  return [int(r[len(r) // 2]) if len(r) else 0 for r in ranges]


def _log_mel(audio_BxS: jax.Array, config: HtsatConfig) -> jax.Array:
  c = config
  # As the authors trained them: HTK's bands with fusion, Slaney's without.
  return mel.decibels(
    audio_BxS, c.sample_rate, c.window, c.hop, c.num_mels, c.low, c.high,
    scale="htk" if c.fusion else "slaney",
    norm=None if c.fusion else "slaney",
  )  # fmt: skip


@functools.lru_cache
def _bilinear(size: int, new_size: int) -> np.ndarray:
  """Linear interpolation of cells' middles, as torch does it [new, size]."""
  place = (np.arange(new_size) + 0.5) * size / new_size - 0.5
  place = np.clip(place, 0, size - 1)
  first = np.floor(place).astype(int)
  matrix = np.zeros((new_size, size), "f4")
  rows = np.arange(new_size)
  np.add.at(matrix, (rows, first), 1 - (place - first))
  np.add.at(matrix, (rows, np.minimum(first + 1, size - 1)), place - first)
  return matrix
