"""Voices: harmonic series with phases continuous across frames.

Our design (docs/design.md, Decisions). Noise alone makes cries and notes
hoarse. A voice is described by its pitch and by the levels of its harmonics in
bands; its phase is arbitrary and integrates the pitch, so codes need not
contain it.
"""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.codec.config import SpectralCodecConfig

_SIDE = 3  # bins on either side that a windowed sine reaches
_CYCLE = 2.0**32  # of a phase in fixed point
_QUIET_HZ = 250.0  # harmonics closer than this to Nyquist are silent


class Harmonics(NamedTuple):
  """Harmonics of the voices in each bin of a frame; [B, T', Y, W] each.

  Attributes:
    order: number of the harmonic nearest to the bin.
    offset: of that harmonic from the bin, in bins, where `there` is 1.
    there: 1 where the bin is the one nearest to the harmonic.
  """

  order: jax.Array
  offset: jax.Array
  there: jax.Array


def harmonics(config: SpectralCodecConfig, hertz_BxTxY: jax.Array) -> Harmonics:
  """Harmonics of voices with these pitches."""
  bin_hz = config.sample_rate / config.fft_size
  bins_W = np.arange(config.fft_size // 2 + 1) * np.float32(bin_hz)
  pitch = hertz_BxTxY[..., None]
  order = jnp.maximum(jnp.round(bins_W / pitch), 1.0)
  offset = (order * pitch - bins_W) / bin_hz
  inside = order * pitch < 0.5 * config.sample_rate - _QUIET_HZ
  there = (jnp.abs(offset) <= 0.5) & inside
  offset = jnp.where(there, offset, 0.0)
  return Harmonics(order, offset, there.astype(jnp.float32))


def phases(config: SpectralCodecConfig, hertz_BxTxY: jax.Array) -> jax.Array:
  """Phases [B, T', Y] uint32 of the first harmonics, 0 in frame 0.

  2**32 is one cycle. Whole numbers wrap around and add up exactly: a window of
  a sound has the phases of the whole.
  """
  cycles = hertz_BxTxY * (config.synthesis_hop / config.sample_rate)
  steps = 0.5 * (cycles[:, 1:] + cycles[:, :-1])
  whole = jnp.floor(steps)  # whole cycles make no difference
  steps = jnp.round((steps - whole) * (_CYCLE / 256)).astype(jnp.uint32) * 256
  return jnp.cumsum(
    jnp.pad(steps, ((0, 0), (1, 0), (0, 0))), 1, dtype=jnp.uint32
  )


def spectra(
  config: SpectralCodecConfig,
  harmonics: Harmonics,
  amplitude_BxTxYxW: jax.Array,
  phase_BxTxY: jax.Array,
) -> jax.Array:
  """Complex spectra [B, T', W] for `stft.istft`: sums of windowed sines.

  Only amplitudes get gradients: those of frequencies are misleading.
  """
  order, offset, there = jax.lax.stop_gradient(harmonics)
  number = order.astype(jnp.uint32)
  # Harmonics that start in phase would sound like a train of clicks.
  start = number * number * jnp.uint32(0x9E3779B1)
  angle = (number * phase_BxTxY[..., None] + start).astype(jnp.float32)
  angle = angle * np.float32(2 * np.pi / _CYCLE)
  half = 0.5 * config.fft_size * there * amplitude_BxTxYxW
  parts = (half * jnp.cos(angle), half * jnp.sin(angle))
  # In the middle of a frame, where the window's spectrum is real, bin w has
  # advanced by w / 2 cycles.
  parity_W = jnp.asarray((-1.0) ** np.arange(order.shape[-1]), jnp.float32)
  kernels = _kernels(offset)
  real, imag = (
    parity_W
    * functools.reduce(
      operator.add,
      (_shifted(jnp.sum(part * kernels[p], 2), p) for p in kernels),
    )
    for part in parts
  )
  return jax.lax.complex(real, imag)


def _kernels(offset: jax.Array) -> dict[int, jax.Array]:
  """Hann's spectrum in bins -_SIDE to _SIDE for a sine off its bin."""
  wave = jnp.sin(np.pi * offset) / np.pi
  sinc = {0: jnp.sinc(offset)}
  for p in range(1, _SIDE + 2):
    sign = (-1) ** (p + 1)
    sinc[p] = sign * wave / (p - offset)
    sinc[-p] = sign * wave / (-p - offset)
  return {
    p: 0.5 * sinc[p] + 0.25 * (sinc[p - 1] + sinc[p + 1])
    for p in range(-_SIDE, _SIDE + 1)
  }


def _shifted(x_BxTxW: jax.Array, places: int) -> jax.Array:
  """Shifted along the last axis, filled with zeros."""
  width = x_BxTxW.shape[-1]
  pad = ((0, 0), (0, 0), (max(places, 0), max(-places, 0)))
  first = max(-places, 0)
  return jnp.pad(x_BxTxW, pad)[..., first : first + width]
