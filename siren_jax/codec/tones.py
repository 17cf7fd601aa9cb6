"""Tones: one oscillator in every bin of a spectrum, whose phase runs on.

Our design (docs/design.md, Decisions). Noise alone makes cries and notes
hoarse. A tone is said by how loud it is and how far its frequency lies from
its bin's; its phase is free and follows from the frequency, so codes need not
spell it out. K: oscillators, as many as a spectrum has bins (W).
"""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.audio import stft
from siren_jax.codec.config import SpectralCodecConfig
from siren_jax.common.mesh import by_rows

REACH = 0.75  # bins that an oscillator may lie off its bin
_SIDE = 3  # bins on either side that a windowed oscillator reaches
_TURN = 2.0**32  # of a phase in fixed point


class Tones(NamedTuple):
  """Oscillators of every inverse-STFT frame.

  Attributes:
    amplitude_BxTxK: of the oscillation; one is full scale.
    offset_BxTxK: bins from the bin's own frequency, within `REACH`.
  """

  amplitude_BxTxK: jax.Array
  offset_BxTxK: jax.Array


def analyse(config: SpectralCodecConfig, audio_BxS: jax.Array) -> Tones:
  """Tones [B, T', K] of audio [B, S], by reassignment (Auger & Flandrin 1995).

  The window is two of synthesis long, to tell close partials apart. Offsets
  beyond `REACH` belong to a neighbour's tone.
  """
  size, hop = 2 * config.fft_size, config.synthesis_hop
  frames = stft.frame(audio_BxS, size, hop)
  slope = np.pi / size * np.sin(2 * np.pi * np.arange(size) / size)
  windows = stft.hann(size), slope.astype("f4")
  spectra, sloped = (
    by_rows(jnp.fft.rfft, frames * window)[..., ::2] for window in windows
  )
  power = stft.power(spectra) + 1e-12
  drift = spectra.real * sloped.imag - spectra.imag * sloped.real
  offset = -drift / power * (config.fft_size / (2 * np.pi))
  return Tones(jnp.sqrt(power) * (4 / size), offset)


def advance(config: SpectralCodecConfig, offset_BxTxK: jax.Array) -> jax.Array:
  """Phases [B, T', K] uint32, of frame 0 zero; 2**32 are a turn.

  Whole numbers wrap around and add up exactly: a window of a sound has the
  phases of the whole.
  """
  hop, size = config.synthesis_hop, config.fft_size
  bins = np.arange(offset_BxTxK.shape[-1])
  own = (bins * hop % size * int(_TURN) // size).astype(np.uint32)
  mean = 0.5 * (offset_BxTxK[:, 1:] + offset_BxTxK[:, :-1])
  steps = jnp.round(mean * (hop / size * _TURN)).astype(jnp.int32)
  steps = steps.astype(jnp.uint32) + own
  return jnp.cumsum(jnp.pad(steps, ((0, 0), (1, 0), (0, 0))), 1, jnp.uint32)


def start(config: SpectralCodecConfig) -> np.ndarray:
  """Phases [K] uint32 that `decode` starts from: spread, so no two add up."""
  bins = np.arange(config.fft_size // 2 + 1, dtype=np.uint64)
  return (bins * bins * 0x9E3779B1 % int(_TURN)).astype(np.uint32)


def spectra(
  config: SpectralCodecConfig, tones: Tones, phase_BxTxK: jax.Array
) -> jax.Array:
  """Complex spectra [B, T', W] for `stft.istft`: Hann-windowed oscillators.

  Gradients reach amplitudes alone: those of frequencies lead astray.
  """
  amplitude, offset = tones
  offset = jax.lax.stop_gradient(offset)
  turn = phase_BxTxK.astype(jnp.float32) * (2 * np.pi / _TURN)
  places = range(-_SIDE, _SIDE + 1)
  kernels = _kernels(offset)
  # In the middle of a frame, where a window's spectrum is real, bin w has
  # turned by w / 2.
  parity = jnp.asarray((-1.0) ** np.arange(offset.shape[-1]), jnp.float32)
  half = 0.5 * config.fft_size * amplitude
  parts = [half * f(turn) for f in (jnp.cos, jnp.sin)]
  real, imag = (
    parity
    * functools.reduce(
      operator.add,
      (_shifted(part * kernel, place) for place, kernel in zip(places, kernels)),
    )
    for part in parts
  )
  return jax.lax.complex(real, imag)


def _kernels(offset: jax.Array) -> list[jax.Array]:
  """Hann's spectrum at every place from -_SIDE to _SIDE, from the offset."""
  wave = jnp.sin(np.pi * offset) / np.pi
  def sinc(place: int) -> jax.Array:
    if place == 0:
      return jnp.sinc(offset)
    return (-1) ** (place + 1) * wave / (place - offset)
  sincs = {p: sinc(p) for p in range(-_SIDE - 1, _SIDE + 2)}
  return [
    0.5 * sincs[p] + 0.25 * (sincs[p - 1] + sincs[p + 1])
    for p in range(-_SIDE, _SIDE + 1)
  ]


def _shifted(x: jax.Array, places: int) -> jax.Array:
  """Along the last axis; zeros come in."""
  pad = (max(places, 0), max(-places, 0))
  x = jnp.pad(x, ((0, 0), (0, 0), pad))
  size = x.shape[-1] - abs(places)
  return x[..., :size] if places > 0 else x[..., x.shape[-1] - size :]
