"""LAION's CLAP: RoBERTa and HTSAT in one space (Wu et al. 2023)."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.clap.config import TextConfig
from siren_jax.clap.htsat import Htsat, HtsatConfig
from siren_jax.clap.text import TextEncoder

_FLOOR = 1e-10
_PARTS = 3  # of a longer clip, heard beside the whole

ROBERTA = TextConfig(
  vocab_size=50265,
  word_width=768,
  width=768,
  layers=12,
  heads=12,
  mlp_width=3072,
  max_tokens=512,
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

  def setup(self):
    cfg = self.config
    self.text = TextEncoder(cfg.text)
    self.audio = Htsat(cfg.audio)
    self.pool_text = nn.Dense(cfg.text.width)
    self.text_head = Head(cfg.embed_dim)
    self.audio_head = Head(cfg.embed_dim)

  def __call__(self, ids_BxP, mask_BxP, audio_BxS):
    return self.embed_text(ids_BxP, mask_BxP), self.embed_audio(audio_BxS)

  def embed_text(self, ids_BxP, mask_BxP):
    """tokens_BxPxC (zero where padded) and embedding_BxE, any length."""
    tokens_BxPxC = self.text(ids_BxP, mask_BxP)
    pooled_BxC = jnp.tanh(self.pool_text(tokens_BxPxC[:, 0]))
    return tokens_BxPxC * mask_BxP[..., None], self.text_head(pooled_BxC)

  def embed_audio(self, audio_BxS):
    """embedding_BxE, any length, of audio of any number of samples."""
    return self.embed_mel(*features(audio_BxS, self.config.audio))

  def embed_mel(self, mel_BxCxTxM, longer_B):
    return self.audio_head(self.audio(mel_BxCxTxM, longer_B))


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
  """Log mel frames [B, C, T, M] in dB, and which clips are longer [B].

  Shorter clips are repeated as often as they fit whole, then padded with
  zeros. Longer ones are cut to their middle or, with fusion, heard squeezed
  and in three parts; where the reference draws a place at random, this takes
  the middle of what it draws from.
  """
  wanted = round(config.seconds * config.sample_rate)
  batch, length = audio_BxS.shape
  if length <= wanted:
    repeated = jnp.tile(audio_BxS, (1, wanted // length))
    rest = wanted - repeated.shape[1]
    mel = log_mel(jnp.pad(repeated, ((0, 0), (0, rest))), config)
    channels = 1 + _PARTS * config.fusion
    mel = jnp.repeat(mel[:, None], channels, 1)
    return mel, jnp.zeros(batch, bool)
  if not config.fusion:
    start = (length - wanted) // 2
    mel = log_mel(audio_BxS[:, start : start + wanted], config)
    return mel[:, None], jnp.ones(batch, bool)
  mel = log_mel(audio_BxS, config)
  frames = wanted // config.hop + 1
  if mel.shape[1] == frames:
    return jnp.repeat(mel[:, None], 1 + _PARTS, 1), jnp.zeros(batch, bool)
  starts = part_starts(mel.shape[1], frames)
  parts = [mel[:, start : start + frames] for start in starts]
  whole = jnp.einsum("st,btm->bsm", _bilinear(mel.shape[1], frames), mel)
  return jnp.stack([whole, *parts], 1), jnp.ones(batch, bool)


def part_starts(total: int, frames: int) -> list[int]:
  """First frames of the parts: the middles of three ranges of places."""
  ranges = np.array_split(np.arange(total - frames + 1), _PARTS)
  return [int(r[len(r) // 2]) if len(r) else 0 for r in ranges]


def log_mel(audio_BxS: jax.Array, config: HtsatConfig) -> jax.Array:
  """Mel power in dB [B, 1 + S/hop, M], frames centred, ends reflected."""
  half = config.window // 2
  audio = jnp.pad(audio_BxS, ((0, 0), (half, half)), mode="reflect")
  count = 1 + (audio.shape[1] - config.window) // config.hop
  places = config.hop * np.arange(count)[:, None] + np.arange(config.window)
  window = np.hanning(config.window + 1)[:-1].astype("f4")
  spectra = jnp.fft.rfft(audio[:, places] * window)
  mel = (spectra.real**2 + spectra.imag**2) @ _mel_filters(config)
  return 10 * jnp.log10(jnp.maximum(mel, _FLOOR))


@functools.lru_cache
def _mel_filters(config: HtsatConfig) -> np.ndarray:
  """HTK's with fusion, else Slaney's of equal area [window/2 + 1, M]."""
  import librosa  # Takes a second to import.

  return librosa.filters.mel(
    sr=config.sample_rate,
    n_fft=config.window,
    n_mels=config.num_mels,
    fmin=config.low,
    fmax=config.high,
    htk=config.fusion,
    norm=None if config.fusion else "slaney",
  ).T


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
