"""LAION's audio tower: HTSAT, a Swin transformer over a folded spectrogram.

Chen et al. 2022; Wu et al. 2023 (section 3.3 for fusion). Ten seconds of log
mel frames are stretched to 1024, folded to a square picture of 256 x 256, and
split into patches. For longer clips, models with fusion get the whole clip,
squeezed, and three parts of it.

Axes: I windows of a picture (or pictures of a clip), W patches of a window,
Y and X rows and columns of a picture.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.common.config import check_sizes
from siren_jax.common.errors import UserError
from siren_jax.common.precision import exact

_MASKED = -100.0  # the value that the published model was trained with


@dataclasses.dataclass(frozen=True)
class HtsatConfig:
  """Defaults are those of laion/clap-htsat-unfused.

  Attributes:
    sample_rate: Hz. window, hop: samples of a frame, and between frames.
    low, high: range of the `num_mels` bands in Hz.
    seconds: length of the input; shorter clips are repeated, longer ones cut.
    picture: side of the folded spectrogram. patch: side of a patch.
    width: of the first stage; each later one doubles it.
    blocks, heads: of every stage.
    grid: side of an attention window, in patches.
    fusion: whether parts of longer clips are used too.
  """

  sample_rate: int = 48000
  window: int = 1024
  hop: int = 480
  num_mels: int = 64
  low: float = 50.0
  high: float = 14000.0
  seconds: float = 10.0
  picture: int = 256
  patch: int = 4
  width: int = 96
  blocks: tuple[int, ...] = (2, 2, 6, 2)
  heads: tuple[int, ...] = (4, 8, 16, 32)
  grid: int = 8
  fusion: bool = False

  def __post_init__(self) -> None:
    check_sizes(
      "clap config", self, window=65536, num_mels=1024, picture=4096,
      blocks=256, grid=64,
    )  # fmt: skip
    if not 0 < self.seconds <= 60:
      raise UserError(
        f"clap config seconds={self.seconds}: must be above 0 and at most 60"
      )


class WindowAttention(nn.Module):
  """Attention among the patches of each window, `x_BxWxD`.

  Windows are rows of the batch; those of one picture are adjacent.
  """

  heads: int
  grid: int

  @nn.compact
  def __call__(
    self, x_BxWxD: jax.Array, mask_IxWxW: np.ndarray | None
  ) -> jax.Array:
    windows, count, width = x_BxWxD.shape

    def project(name: str) -> jax.Array:
      y = nn.Dense(width, name=name)(x_BxWxD)
      return y.reshape(windows, count, self.heads, -1)

    query, key, value = (project(name) for name in ("query", "key", "value"))
    scores = jnp.einsum("bqhd,bwhd->bhqw", query, key)
    scores = scores / query.shape[-1] ** 0.5
    table = self.param(
      "bias", nn.initializers.zeros, ((2 * self.grid - 1) ** 2, self.heads)
    )
    bias_WxWxH = table[_relative_positions(self.grid)]
    scores = scores + jnp.moveaxis(bias_WxWxH, -1, 0)
    if mask_IxWxW is not None:
      repeats = windows // len(mask_IxWxW)
      scores = scores + jnp.tile(mask_IxWxW, (repeats, 1, 1))[:, None]
    y = jnp.einsum("bhqw,bwhd->bqhd", jax.nn.softmax(scores), value)
    return nn.Dense(width, name="out")(y.reshape(x_BxWxD.shape))


class SwinBlock(nn.Module):
  """Windowed attention, shifted by `shift` patches, and a perceptron."""

  heads: int
  grid: int
  shift: int

  @nn.compact
  def __call__(self, x_BxYxXxD: jax.Array) -> jax.Array:
    batch, height, width, dim = x_BxYxXxD.shape
    grid, shift = self.grid, self.shift
    y = nn.LayerNorm(1e-5, name="attention_norm")(x_BxYxXxD)
    y = jnp.roll(y, (-shift, -shift), (1, 2))
    y = y.reshape(batch, height // grid, grid, width // grid, grid, dim)
    y = y.swapaxes(2, 3)
    tiled = y.shape
    mask = _shift_mask(height, width, grid, shift) if shift else None
    y = WindowAttention(self.heads, grid, name="attention")(
      y.reshape(-1, grid * grid, dim), mask
    )
    y = y.reshape(tiled).swapaxes(2, 3).reshape(x_BxYxXxD.shape)
    x = x_BxYxXxD + jnp.roll(y, (shift, shift), (1, 2))
    y = nn.LayerNorm(1e-5, name="mlp_norm")(x)
    y = nn.gelu(nn.Dense(4 * dim, name="up")(y), approximate=False)
    return x + nn.Dense(dim, name="down")(y)


class Merge(nn.Module):
  """Merges four neighbouring patches into one of twice the width."""

  @nn.compact
  def __call__(self, x_BxYxXxD: jax.Array) -> jax.Array:
    parts = [x_BxYxXxD[:, i::2, j::2] for j in range(2) for i in range(2)]
    x = nn.LayerNorm(1e-5, name="norm")(jnp.concatenate(parts, -1))
    return nn.Dense(x.shape[-1] // 2, use_bias=False, name="reduce")(x)


class Fusion(nn.Module):
  """Weighted sum of the whole and the parts (Dai et al. 2021)."""

  @nn.compact
  def __call__(
    self, whole_BxYxXxD: jax.Array, parts_BxYxXxD: jax.Array
  ) -> jax.Array:
    both = whole_BxYxXxD + parts_BxYxXxD
    width = both.shape[-1]

    def squeeze(x: jax.Array, name: str) -> jax.Array:
      y = nn.relu(nn.Dense(width // 4, name=f"{name}_in")(x))
      return nn.Dense(width, name=f"{name}_out")(y)

    share = nn.sigmoid(
      squeeze(both, "local")
      + squeeze(jnp.mean(both, (1, 2), keepdims=True), "overall")
    )
    return 2 * whole_BxYxXxD * share + 2 * parts_BxYxXxD * (1 - share)


class Htsat(nn.Module):
  """Log mel frames [B, I, T, M] in dB to features [B, D].

  I is 1, or 4 with fusion (the whole, then three parts); `longer_B`, required
  with fusion, says which clips have parts.
  """

  config: HtsatConfig

  @nn.compact
  def __call__(
    self, mel_BxIxTxM: jax.Array, longer_B: jax.Array | None = None
  ) -> jax.Array:
    cfg = self.config
    scale = self.param("mel_scale", nn.initializers.ones, (cfg.num_mels,))
    shift = self.param("mel_shift", nn.initializers.zeros, (cfg.num_mels,))
    pictures = fold(mel_BxIxTxM * scale + shift, cfg)
    side = cfg.picture // cfg.patch
    whole = _patches(pictures[:, 0], cfg.patch, cfg.patch)
    x = nn.Dense(cfg.width, name="patch")(whole)
    if cfg.fusion:
      assert longer_B is not None
      # Parts are patched three times as coarsely, so that three fit together.
      parts = _patches(pictures[:, 1:], cfg.patch, 3 * cfg.patch)
      parts = nn.Dense(cfg.width, name="part_patch")(parts)
      parts = jnp.moveaxis(parts, 1, 2).reshape(len(x), side, -1, cfg.width)
      parts = jnp.pad(
        parts, ((0, 0), (0, 0), (0, side - parts.shape[2]), (0, 0))
      )
      fused = Fusion(name="fusion")(x, parts)
      x = jnp.where(longer_B[:, None, None, None], fused, x)
    x = nn.LayerNorm(1e-5, name="patch_norm")(x)
    for i, (blocks, heads) in enumerate(zip(cfg.blocks, cfg.heads)):
      if i:
        x = Merge(name=f"merge_{i}")(x)
      grid = min(cfg.grid, x.shape[1])
      for j in range(blocks):
        # One window covers everything: nothing to shift.
        offset = grid // 2 if j % 2 and grid < x.shape[1] else 0
        x = SwinBlock(heads, grid, offset, name=f"block_{i}_{j}")(x)
    return jnp.mean(nn.LayerNorm(1e-5, name="norm")(x), (1, 2))


@exact
def fold(mel_BxIxTxM: jax.Array, config: HtsatConfig) -> jax.Array:
  """Pictures [B, I, side, side]: segments of time stacked along frequency."""
  pieces = config.picture // config.num_mels
  frames = config.picture * pieces
  stretch = _bicubic(mel_BxIxTxM.shape[2], frames)
  mel = jnp.einsum("st,bitm->bism", stretch, mel_BxIxTxM)
  batch, count = mel.shape[:2]
  mel = mel.reshape(batch, count, pieces, config.picture, config.num_mels)
  return mel.swapaxes(-1, -2).reshape(
    batch, count, config.picture, config.picture
  )


def _patches(x: jax.Array, height: int, width: int) -> jax.Array:
  """Pictures [..., Y, X] to patches [..., Y/height, X/width, D].

  Columns that do not fill a patch are dropped.
  """
  *lead, rows, columns = x.shape
  x = x[..., : columns - columns % width]
  x = x.reshape(*lead, rows // height, height, columns // width, width)
  x = x.swapaxes(-2, -3)
  return x.reshape(*x.shape[:-2], height * width)


@functools.lru_cache
def _relative_positions(grid: int) -> np.ndarray:
  """Index into the bias table for each pair of patches of a window [W, W]."""
  row, column = np.divmod(np.arange(grid * grid), grid)
  rows = row[:, None] - row + grid - 1
  columns = column[:, None] - column + grid - 1
  return rows * (2 * grid - 1) + columns


@functools.lru_cache
def _shift_mask(height: int, width: int, grid: int, shift: int) -> np.ndarray:
  """Mask [I, W, W] of patches that only the cyclic shift made neighbours."""

  def regions(length: int) -> np.ndarray:
    place = np.arange(length)
    return (place >= length - grid).astype(int) + (place >= length - shift)

  region = 3 * regions(height)[:, None] + regions(width)
  region = region.reshape(height // grid, grid, width // grid, grid)
  region_IxW = region.swapaxes(1, 2).reshape(-1, grid * grid)
  apart = region_IxW[:, :, None] != region_IxW[:, None]
  return np.where(apart, _MASKED, 0.0).astype("f4")


@functools.lru_cache
def _bicubic(size: int, new_size: int) -> np.ndarray:
  """Matrix [new, size] of torch's cubic interpolation with aligned ends."""
  place = np.linspace(0, size - 1, new_size)
  first = np.floor(place).astype(int)
  matrix = np.zeros((new_size, size), "f4")
  for offset in (-1, 0, 1, 2):
    column = np.clip(first + offset, 0, size - 1)
    weight = _cubic(np.abs(place - first - offset))
    np.add.at(matrix, (np.arange(new_size), column), weight)
  return matrix


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
  """Cubic convolution kernel (Keys 1981)."""
  d = distance
  near = (a + 2) * d**3 - (a + 3) * d**2 + 1
  far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
  return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
