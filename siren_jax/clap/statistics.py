"""Audio tower for few recordings per class: statistics of log-mel spectra.

Our design. Statistics of the audible frames say which bands a sound has, how
they vary and how fast they change, wherever in the clip it sounds; a residual
MLP embeds them.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.clap.config import BAND_GROUPS, AudioConfig
from siren_jax.clap.text_tower import dense
from siren_jax.common.precision import exact

# In units of log10 of the power.
_AUDIBLE = 4.0  # below the loudest frame: quieter frames do not count
_RANGE = 6.0  # below the strongest band
_ONSET = 0.6  # a rise of the level from one frame to the next
_LAGS = (2, 4, 8, 16, 32, 64)  # frames between which changes are measured

# Mean and standard deviation of each kind of statistic over recordings.
_SCALES = {
  "mean": (-4.2, 1.3),
  "deviation": (0.78, 0.45),
  "highest": (-2.4, 1.6),
  "loud": (-3.5, 1.6),
  "change": (0.34, 0.23),
  "change_deviation": (0.5, 0.3),
  "lag": (0.4, 0.4),
  "audible": (0.54, 0.34),
  "duration": (4.8, 0.9),
  "level": (-1.4, 0.66),
  "rise": (0.21, 0.11),
  "fall": (0.16, 0.09),
  "onsets": (0.026, 0.032),
}


@exact
def statistics(x_BxTxM: jax.Array, mask_T: jax.Array) -> jax.Array:
  """Statistics [B, F] of log-mel frames, each about within [-2, 2].

  Args:
    x_BxTxM: log10 of the power in mel bands, M a multiple of 16.
    mask_T: false for padding, which has no effect.
  """
  level_BxT = jnp.log10(jnp.sum(10.0**x_BxTxM, axis=-1))
  level_BxT -= _highest(level_BxT, mask_T)[:, None]
  audible_BxT = mask_T & (level_BxT > -_AUDIBLE)
  level_BxT = jnp.maximum(level_BxT, -_AUDIBLE)
  strongest_B = _highest(_highest(x_BxTxM, mask_T[:, None]))
  x_BxTxM = jnp.maximum(x_BxTxM - strongest_B[:, None, None], -_RANGE)

  weight_BxT = audible_BxT / audible_BxT.sum(1, keepdims=True)
  loud_BxT = audible_BxT * 10.0**level_BxT
  loud_BxT = loud_BxT / loud_BxT.sum(1, keepdims=True)
  change_BxTxM = jnp.diff(x_BxTxM, axis=1, prepend=x_BxTxM[:, :1])
  step_BxT = jnp.diff(level_BxT, axis=1, prepend=level_BxT[:, :1]) * mask_T

  def average(x: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.einsum("bt...,bt->b...", x, weight)

  mean_BxM = average(x_BxTxM, weight_BxT)
  variance_BxM = average((x_BxTxM - mean_BxM[:, None]) ** 2, weight_BxT)
  frames = mask_T.sum()
  values = {
    "mean": mean_BxM,
    "deviation": jnp.sqrt(variance_BxM + 1e-5),
    "highest": _highest(x_BxTxM, audible_BxT[..., None]),
    "loud": average(x_BxTxM, loud_BxT),
    "change": average(jnp.abs(change_BxTxM), weight_BxT),
    "change_deviation": jnp.sqrt(average(change_BxTxM**2, weight_BxT) + 1e-5),
    "lag": _changes(x_BxTxM, level_BxT, mask_T),
    "audible": audible_BxT.sum(1) / frames,
    "duration": jnp.log(audible_BxT.sum(1)),
    "level": average(level_BxT, weight_BxT),
    "rise": jnp.sqrt(jnp.sum(jnp.maximum(step_BxT, 0) ** 2, 1) / frames + 1e-6),
    "fall": jnp.sqrt(jnp.sum(jnp.minimum(step_BxT, 0) ** 2, 1) / frames + 1e-6),
    "onsets": jnp.sum(step_BxT > _ONSET, 1) / frames,
  }
  scaled = [
    jnp.reshape((values[name] - offset) / scale, (len(x_BxTxM), -1))
    for name, (offset, scale) in _SCALES.items()
  ]
  return jnp.clip(jnp.concatenate(scaled, axis=1), -4, 4)


def _highest(x: jax.Array, mask: jax.Array | bool = True) -> jax.Array:
  """Maximum along axis 1; of equal values, the first has the gradient."""
  first = jnp.where(mask, x, -jnp.inf).argmax(1, keepdims=True)
  return jnp.take_along_axis(x, first, axis=1).squeeze(1)


def _changes(
  x_BxTxM: jax.Array, level_BxT: jax.Array, mask_T: jax.Array
) -> jax.Array:
  """Mean changes over the lags: of groups of bands, and of the level."""
  batch, frames, _ = x_BxTxM.shape
  groups = x_BxTxM.reshape(batch, frames, BAND_GROUPS, -1).mean(-1)
  x = jnp.concatenate([groups, level_BxT[..., None]], axis=-1)

  def mean_change(lag: int) -> jax.Array:
    if lag >= frames:
      return jnp.zeros_like(x[:, 0])
    pairs_T = mask_T[lag:] & mask_T[:-lag]
    change = jnp.abs(x[:, lag:] - x[:, :-lag]) * pairs_T[:, None]
    return change.sum(1) / jnp.maximum(pairs_T.sum(), 1)

  return jnp.concatenate([mean_change(lag) for lag in _LAGS], axis=1)


class StatisticsEncoder(nn.Module):
  """`log_mel_BxTxM -> x_BxD`: a residual MLP over the statistics.

  Dropout (of statistics and of each layer) if the random stream "dropout" is
  given.
  """

  config: AudioConfig

  @nn.compact
  def __call__(self, log_mel_BxTxM: jax.Array, mask_T: jax.Array) -> jax.Array:
    cfg = self.config
    drop = nn.Dropout(cfg.dropout, deterministic=not self.has_rng("dropout"))
    x = drop(statistics(log_mel_BxTxM, mask_T))
    x = jax.nn.gelu(dense(cfg.statistics, (None, "embed"), "first")(x))
    for i in range(cfg.statistics_layers - 1):
      y = dense(cfg.statistics, ("embed", None), f"layer_{i}")(drop(x))
      x = x + jax.nn.gelu(y)
    return drop(x)
