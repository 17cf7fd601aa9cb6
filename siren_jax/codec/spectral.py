"""The spectral codec: STFT in, ConvNeXt at the frame rate, sound out.

Our design (docs/design.md, Decisions). At 3 kbit/s, codes cannot describe a
waveform; they describe the spectral envelope and its steadiness. The decoder
shapes noise accordingly: white noise sounds like rain and surf, noise with a
steady spectrum like an engine. Voices (voices.py) add cries and notes.
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.audio import mel, stft
from siren_jax.codec import losses, pitch, voices
from siren_jax.codec.config import SpectralCodecConfig
from siren_jax.codec.layers import ConvNeXtStack, Span, span_of, within
from siren_jax.codec.quantizer import (
  Renderings,
  ResidualCodec,
  ResidualQuantizer,
)
from siren_jax.common.precision import exact
from siren_jax.common.rng import named_key


class Encoder(nn.Module):
  """Audio [B, S] to latents [B, S/hop, F].

  As in the decoder, the network's output is added to a linear map of band
  levels: the codec starts as a linear one, which learns in minutes.
  """

  config: SpectralCodecConfig

  @nn.compact
  def __call__(self, audio_BxS: jax.Array) -> jax.Array:
    c = self.config
    spectra = stft.stft(audio_BxS, c.fft_size, c.hop_length)
    if c.voices:
      long_BxTxW = pitch.power(c, audio_BxS)
      measured, periodicity = pitch.measure(c, long_BxTxW)
      x = _voice_features(stft.power(spectra), long_BxTxW, periodicity)
    else:
      x = _features(spectra)
    x = nn.Dense(c.frame_width, name="embed")(x)
    x = ConvNeXtStack(
      c.encoder_frame_layers, c.kernel_size, c.expansion, name="frames"
    )(x)
    x = x.reshape(x.shape[0], -1, c.code_stride * c.frame_width)
    x = nn.Dense(c.code_width, name="merge")(x)
    x = ConvNeXtStack(
      c.encoder_code_layers, c.kernel_size, c.expansion, name="codes"
    )(x)
    x = nn.Dense(c.feature_dim, name="out")(nn.LayerNorm(name="norm")(x))
    loudness = _loudness(c, audio_BxS)
    x += nn.Dense(c.feature_dim, name="loudness")(loudness)
    if c.voices:
      # Factor 5: initially about as much as the loudness contributes.
      marks = (
        5.0
        * measured.strength_BxTxY[..., None]
        * pitch.around(measured.place_BxTxY, 3.0)
      )
      marks = marks.reshape(*x.shape[:2], -1)
      x += nn.Dense(c.feature_dim, name="pitch")(marks)
    # Codes are matched by angle, which needs latents of similar length.
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1.0)


class NoiseShape(NamedTuple):
  """Shape of the noise in every bin of every inverse-STFT frame.

  Attributes:
    gain_BxTxW: amplitude.
    steadiness_BxTxW: 0 leaves the noise white, with Rayleigh-distributed
      magnitudes; 1 makes all magnitudes one.
  """

  gain_BxTxW: jax.Array
  steadiness_BxTxW: jax.Array


class VoiceShape(NamedTuple):
  """Pitches and amplitudes of the voices.

  Attributes:
    logits_BxTxYxI: of their pitches, in every analysis frame.
    amplitude_BxTxYxW: of harmonics, in every bin of every inverse-STFT frame.
  """

  logits_BxTxYxI: jax.Array
  amplitude_BxTxYxW: jax.Array


class Decoder(nn.Module):
  """Latents [B, T, F] to the shape of the noise, and to voices."""

  config: SpectralCodecConfig

  @nn.compact
  def __call__(
    self, latents_BxTxF: jax.Array, span: Span | None = None
  ) -> tuple[NoiseShape, VoiceShape | None]:
    c = self.config
    x = nn.Dense(c.code_width, name="embed")(latents_BxTxF)
    x = ConvNeXtStack(
      c.decoder_code_layers, c.kernel_size, c.expansion, name="codes"
    )(x, span)
    x = nn.Dense(c.code_stride * c.frame_width, name="split")(x)
    x = x.reshape(x.shape[0], -1, c.frame_width)
    x = ConvNeXtStack(
      c.decoder_frame_layers, c.kernel_size, c.expansion, name="frames"
    )(x, span if span is None else span.at(c.code_stride))
    x = nn.LayerNorm(name="norm")(x)
    frames = c.code_stride * c.synthesis_stride
    bands = nn.Dense(2 * c.synthesis_stride * c.bands, name="bands")(x)
    bands = bands.reshape(len(x), -1, 2 * c.bands)
    level, steadiness = jnp.split(bands, 2, axis=-1)
    loudness = nn.Dense(frames * c.bands, name="loudness")(latents_BxTxF)
    level += loudness.reshape(level.shape)
    # Starts at a low level; the cap keeps an unstable training step finite.
    gain = jnp.exp(jnp.minimum(level - 4.0, 2.0))
    steadiness = nn.sigmoid(steadiness - 2.0)
    noise = NoiseShape(_to_bins(c, gain), _to_bins(c, steadiness))
    return noise, self._voices(latents_BxTxF, x) if c.voices else None

  def _voices(self, latents_BxTxF: jax.Array, x_BxTxD: jax.Array) -> VoiceShape:
    c = self.config
    pitches, shape = len(pitch.scale()), (len(x_BxTxD), -1, c.voices)
    logits = nn.Dense(c.voices * pitches, name="pitch")(x_BxTxD)
    linear = nn.Dense(c.code_stride * c.voices * pitches, name="pitch_linear")
    logits += linear(latents_BxTxF).reshape(logits.shape)
    levels = c.synthesis_stride * c.voices * c.bands
    level = nn.Dense(levels, name="voices")(x_BxTxD)
    linear = nn.Dense(c.code_stride * levels, name="voices_linear")
    level += linear(latents_BxTxF).reshape(level.shape)
    amplitude = jnp.exp(jnp.minimum(level - 4.0, 2.0))
    return VoiceShape(
      logits.reshape(*shape, pitches),
      _to_bins(c, amplitude.reshape(*shape, c.bands)),
    )


class SpectralCodec(ResidualCodec):
  """Encoder, residual quantizer and decoder."""

  config: SpectralCodecConfig

  def setup(self) -> None:
    c = self.config
    self.encoder = Encoder(c)
    self.quantizer = ResidualQuantizer(
      c.num_codebooks, c.codebook_size, c.code_dim, c.feature_dim
    )
    self.decoder = Decoder(c)

  @property
  def beam(self) -> int:
    """Beam width of `ResidualQuantizer.search`."""
    return self.config.beam

  @property
  def reach(self) -> int:
    """Most frames on either side that the codes of a frame depend on."""
    c = self.config
    layers = c.encoder_code_layers + c.encoder_frame_layers / c.code_stride
    window = (2 if c.voices else 1) * c.fft_size / c.hop
    return math.ceil(layers * (c.kernel_size // 2) + window) + 1

  @property
  def context(self) -> tuple[int, int]:
    """`look_back` and `look_ahead`."""
    c = self.config
    hop, overlap = c.synthesis_hop, (c.fft_size - c.synthesis_hop) // 2
    # Inverse-STFT frames that overlap frame 0. Hann's first value is zero, so
    # the first sample of each overlap does not count.
    first, last = -((overlap + hop - 1) // hop), (c.hop + overlap - 2) // hop
    noise_first = (first * hop - overlap + 1) // c.hop
    noise_last = (last * hop + hop + overlap - 1) // c.hop
    before, after = c.kernel_size // 2, (c.kernel_size - 1) // 2
    for stride, layers in (
      (c.synthesis_stride, c.decoder_frame_layers),
      (c.code_stride, c.decoder_code_layers),
    ):
      first = first // stride - layers * before
      last = last // stride + layers * after
    return -min(first, noise_first), max(last, noise_last)

  @property
  def first_phase(self) -> np.ndarray | None:
    """Phases [Y] uint32 of the voices at the start of a sound."""
    count = self.config.voices
    return np.zeros(count, np.uint32) if count else None

  def decode_window(
    self,
    codes_BxNxT: jax.Array,
    first_frame: int | jax.Array,
    num_frames: int | jax.Array | None,
    phase_BxY: jax.Array | None,
    known_frame: int | jax.Array,
  ) -> tuple[jax.Array, jax.Array | None]:
    """See `ResidualCodec.decode_window`."""
    c = self.config
    batch, _, frames = codes_BxNxT.shape
    span = span_of(first_frame, num_frames, frames)
    white = fixed_noise(c, frames, first_frame)
    white = within(white.reshape(1, frames, -1), span)
    noise_BxS = jnp.broadcast_to(white.reshape(1, -1), (batch, white.size))
    noise, voiced = self.decoder(self.embed(codes_BxNxT), span)
    if voiced is None:
      return synthesise(c, noise, noise_BxS, 0.0, span), None
    hertz = self._hertz(pitch.place_of(voiced.logits_BxTxYxI))
    stride = c.code_stride * c.synthesis_stride
    phase = voices.phases(c, hertz)
    known = jax.lax.dynamic_index_in_dim(phase, known_frame * stride, 1)
    phase += jnp.expand_dims(jnp.asarray(phase_BxY), 1) - known
    harmonics = voices.harmonics(c, hertz)
    lines = voices.spectra(c, harmonics, voiced.amplitude_BxTxYxW, phase)
    audio_BxS = synthesise(c, noise, noise_BxS, lines, span)
    return audio_BxS, phase[:, ::stride]

  def _hertz(self, place_BxTxY: jax.Array) -> jax.Array:
    """Pitches in Hz of inverse-STFT frames [B, T', Y], from analysis frames."""
    stride = self.config.synthesis_stride
    return pitch.hertz(jnp.repeat(place_BxTxY, stride, 1))

  def renderings(
    self, latents_BxTxF: jax.Array, audio_BxS: jax.Array, key: jax.Array
  ) -> Renderings:
    """With noise and phases drawn from the key; voices at their true pitch.

    The energy distance alone would make all noise white. It therefore trains
    only the gain, and the swing only the steadiness.
    """
    c, stop = self.config, jax.lax.stop_gradient
    shape = 2, *audio_BxS.shape
    noise_2xBxS = jax.random.normal(named_key(key, "noise"), shape)
    noise, voiced = self.decoder(latents_BxTxF)
    set_gain = noise._replace(steadiness_BxTxW=stop(noise.steadiness_BxTxW))
    set_steadiness = noise._replace(gain_BxTxW=stop(noise.gain_BxTxW))
    lines: Any = (0.0, 0.0)
    extra = {}
    if voiced is not None:
      power_BxTxW = pitch.power(c, audio_BxS)
      measured, _ = pitch.measure(c, power_BxTxW)
      hertz = self._hertz(measured.place_BxTxY)
      harmonics = voices.harmonics(c, hertz)
      shape = 2, len(audio_BxS), 1, c.voices
      drawn = jax.random.bits(named_key(key, "phase"), shape, jnp.uint32)
      amplitude = voiced.amplitude_BxTxYxW
      lines = [
        voices.spectra(c, harmonics, amplitude, voices.phases(c, hertz) + phase)
        for phase in drawn
      ]
      extra = {
        "pitch": losses.pitch_loss(
          measured, voiced.logits_BxTxYxI, power_BxTxW
        ),
        "lines": losses.lines_loss(
          c, measured, harmonics, amplitude, power_BxTxW
        ),
      }
    return Renderings(
      synthesise(c, set_gain, noise_2xBxS[0], lines[0]),
      synthesise(c, set_gain, noise_2xBxS[1], lines[1]),
      synthesise(c, set_steadiness, noise_2xBxS[0], stop(lines[0])),
      extra,
    )


def fixed_noise(
  config: SpectralCodecConfig, num_frames: int, first: int | jax.Array
) -> jax.Array:
  """The white noise of `decode` [T * hop].

  Drawn frame by frame, so that a longer clip begins like a shorter one.
  """
  keys_T = jax.vmap(jax.random.fold_in, (None, 0))(
    jax.random.key(0), first + jnp.arange(num_frames)
  )
  draw = jax.vmap(lambda key: jax.random.normal(key, (config.hop,)))
  return draw(keys_T).reshape(-1)


def synthesise(
  config: SpectralCodecConfig,
  shape: NoiseShape,
  noise_BxS: jax.Array,
  lines_BxTxW: jax.Array | float = 0.0,
  span: Span | None = None,
) -> jax.Array:
  """Waveform [B, S] of shaped noise plus `lines`.

  The noise is white, of variance one. `lines`: spectra of the voices; 0: none.
  """
  size, hop = config.fft_size, config.synthesis_hop
  spectra = stft.stft(noise_BxS, size, hop)
  window_power = jnp.sum(stft.hann(size) ** 2)
  flicker = stft.power(spectra) / window_power + 1e-6
  gain = shape.gain_BxTxW * flicker ** (-0.5 * shape.steadiness_BxTxW)
  if span is None:
    return stft.istft(gain * spectra + lines_BxTxW, size, hop)
  frames_in_code = config.code_stride * config.synthesis_stride
  mask_T = span.at(frames_in_code).mask(spectra.shape[1])
  return stft.istft(gain * spectra + lines_BxTxW, size, hop, mask_T)


def _mel_filters(config: SpectralCodecConfig) -> np.ndarray:
  return mel.filters(
    config.sample_rate, config.fft_size, config.bands, scale="htk", norm="sum"
  )


@exact
def _to_bins(config: SpectralCodecConfig, bands_BxTxM: jax.Array) -> jax.Array:
  """Interpolates values of bands to the bins of a spectrum: [B, T', W]."""
  bank = _mel_filters(config)
  spread = bank / np.maximum(bank.sum(1, keepdims=True), 1e-6)
  spread[0], spread[-1] = spread[1], spread[-2]
  return bands_BxTxM @ spread.T


def _features(spectra_BxTxW: jax.Array) -> jax.Array:
  """Log magnitude and power-compressed real and imaginary parts."""
  power = stft.power(spectra_BxTxW) + 1e-8
  shrink = 0.3 * power**-0.35
  parts = (
    _log(power),
    spectra_BxTxW.real * shrink,
    spectra_BxTxW.imag * shrink,
  )
  return jnp.concatenate(parts, -1)


def _voice_features(
  power_BxTxW: jax.Array, long_BxTxW: jax.Array, periodicity: jax.Array
) -> jax.Array:
  """Log power in short and long windows, and periodicity; without phases."""
  parts = (
    _log(power_BxTxW + 1e-8),
    _log(long_BxTxW[..., ::2] + 1e-10),
    periodicity.reshape(*periodicity.shape[:2], -1),
  )
  return jnp.concatenate(parts, -1)


def _loudness(config: SpectralCodecConfig, audio_BxS: jax.Array) -> jax.Array:
  """Log power in bands, synthesis frames of a code frame concatenated."""
  spectra = stft.stft(audio_BxS, config.fft_size, config.synthesis_hop)
  power = mel.bands(stft.power(spectra), _mel_filters(config)) + 1e-8
  frames = config.code_stride * config.synthesis_stride
  return _log(power).reshape(len(power), -1, frames * config.bands)


def _log(power: jax.Array) -> jax.Array:
  """Log power of spectra, scaled to about zero mean and unit variance."""
  return 0.25 * jnp.log(power) + 0.5
