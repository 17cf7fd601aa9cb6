"""LAION's CLAP: RoBERTa and HTSAT in one space (Wu et al. 2023)."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.audio import mel
from siren_jax.clap.config import TextConfig
from siren_jax.clap.htsat import Htsat, HtsatConfig
from siren_jax.clap.text_tower import TextEncoder

_PARTS = 3  # of a longer clip, in addition to the whole

# LAION's own code reads 77 tokens. RoBERTa could read 512, but code sets pad
# every prompt to this length.
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
  """Both towers and the width E of the shared space; see `CONFIGS`."""

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

  def embed_audio(
    self, audio_BxS: jax.Array, num_samples: jax.Array | None = None
  ) -> jax.Array:
    """embedding_BxE, any length; see `features`."""
    return self.embed_mel(*features(audio_BxS, self.config.audio, num_samples))

  def embed_mel(self, mel_BxIxTxM: jax.Array, longer_B: jax.Array) -> jax.Array:
    return self.audio_head(self.audio(mel_BxIxTxM, longer_B))


class Head(nn.Module):
  """Two-layer projection to the shared space."""

  width: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    return nn.Dense(self.width, name="out")(
      nn.relu(nn.Dense(self.width, name="in")(x))
    )


def features(
  audio_BxS: jax.Array,
  config: HtsatConfig,
  num_samples: int | jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Log mel frames [B, I, T, M] in dB, and which clips are longer [B].

  I is the number of pictures of a clip: 1, or 4 with fusion.

  Shorter clips are repeated a whole number of times, then padded with zeros.
  Longer ones are cut to their middle or, with fusion, squeezed, with three
  parts added; where the reference draws a position at random, this uses the
  middle of the range.

  `num_samples`: length of a clip, at least one; None: all.
  """
  input_size = round(config.seconds * config.sample_rate)
  batch, length = audio_BxS.shape
  size = jnp.asarray(length if num_samples is None else num_samples)
  short = size <= input_size
  if config.fusion:
    total = jnp.maximum(size, input_size)
    place_S = jnp.arange(max(length, input_size) + config.window // 2)
    place_S = jnp.where(place_S < total, place_S, 2 * (total - 1) - place_S)
  else:
    place_S = jnp.arange(input_size) + jnp.maximum(size - input_size, 0) // 2
  source_S = jnp.where(short, place_S % size, place_S)
  silent_S = short & (place_S >= input_size // size * size)
  input_BxS = jnp.take(audio_BxS, source_S, 1, mode="clip")
  mel_BxTxM = _log_mel(jnp.where(silent_S, 0, input_BxS), config)
  if not config.fusion:
    return mel_BxTxM[:, None], jnp.full(batch, ~short)
  total, frames = total // config.hop + 1, input_size // config.hop + 1
  whole = _squeezed(mel_BxTxM, total, frames)
  place_IxT = _part_starts(total, frames)[:, None] + jnp.arange(frames)
  parts = jnp.take(mel_BxTxM, place_IxT, 1)
  pictures = jnp.concatenate([whole[:, None], parts], 1)
  return pictures, jnp.full(batch, total > frames)


def _part_starts(total: jax.Array, frames: int) -> jax.Array:
  """First frames of the parts [3]: the middles of three ranges."""
  size, more = jnp.divmod(total - frames + 1, _PARTS)
  part_I = jnp.arange(_PARTS)
  size_I = size + (part_I < more)
  first_I = part_I * size + jnp.minimum(part_I, more)
  return jnp.where(size_I > 0, first_I + size_I // 2, 0)


def _squeezed(mel_BxTxM: jax.Array, total: jax.Array, frames: int) -> jax.Array:
  """Resizes the first `total` frames: linear interpolation as in torch."""
  middle_T = (2 * jnp.arange(frames) + 1) * total - frames
  first_T, rest_T = jnp.divmod(middle_T, 2 * frames)  # exact, as integers
  share_Tx1 = (rest_T / (2 * frames))[:, None]
  first = jnp.take(mel_BxTxM, first_T, 1)
  second = jnp.take(mel_BxTxM, jnp.minimum(first_T + 1, total - 1), 1)
  return first * (1 - share_Tx1) + second * share_Tx1


def _log_mel(audio_BxS: jax.Array, config: HtsatConfig) -> jax.Array:
  c = config
  # As in training: HTK's bands with fusion, Slaney's without.
  return mel.decibels(
    audio_BxS, c.sample_rate, c.window, c.hop, c.num_mels, c.low, c.high,
    scale="htk" if c.fusion else "slaney",
    norm=None if c.fusion else "slaney",
  )  # fmt: skip
