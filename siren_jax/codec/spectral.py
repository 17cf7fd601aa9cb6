"""The spectral codec: STFT in, ConvNeXt at the frame rate, shaped noise out.

Our design (docs/design.md, Decisions). At 3 kbit/s codes cannot spell out a
waveform; they say how loud it is where, and how steadily. The decoder gives
noise that shape: white noise is rain and surf, noise whose spectrum hardly
flickers an engine.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.audio import mel, stft
from siren_jax.codec import tones
from siren_jax.codec.config import SpectralCodecConfig
from siren_jax.codec.layers import ConvNeXtStack, Span, span_of, within
from siren_jax.codec.quantizer import ResidualCodec, ResidualQuantizer
from siren_jax.codec.tones import Tones
from siren_jax.common.precision import exact


class Encoder(nn.Module):
  """Audio [B, S] to latents [B, S/hop, F].

  What the network adds, it adds to a linear map of the loudness in bands, as
  the decoder does: so a codec starts as a linear one, which learns in minutes.
  """

  config: SpectralCodecConfig

  @nn.compact
  def __call__(self, audio_BxS: jax.Array) -> jax.Array:
    c = self.config
    spectra = stft.stft(audio_BxS, c.fft_size, c.hop_length)
    if c.tones:
      measured = tones.analyse(c, audio_BxS)
      x = _tone_features(c, stft.power(spectra), measured)
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
    if c.tones:
      lines = _lines(c, measured.amplitude_BxTxK)
      x += nn.Dense(c.feature_dim, name="lines")(lines)
    # Codes are matched by angle: that asks for latents of like length.
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1.0)


class NoiseShape(NamedTuple):
  """What becomes of noise, in every bin of every inverse-STFT frame.

  Attributes:
    gain_BxTxW: amplitude.
    steadiness_BxTxW: 0 leaves the noise white, whose magnitudes flicker as
      Rayleigh's distribution has it; 1 makes all magnitudes one.
  """

  gain_BxTxW: jax.Array
  steadiness_BxTxW: jax.Array


class Shape(NamedTuple):
  """What a decoder says: the shape of the noise, and tones if it has them."""

  noise: NoiseShape
  tones: Tones | None


class Decoder(nn.Module):
  """Latents [B, T, F] to the shape of the noise, and to tones."""

  config: SpectralCodecConfig

  @nn.compact
  def __call__(
    self, latents_BxTxF: jax.Array, span: Span | None = None
  ) -> Shape:
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
    bands = bands.reshape(*latents_BxTxF.shape[:2], frames, 2 * c.bands)
    level, steadiness = jnp.split(bands, 2, axis=-1)
    loudness = nn.Dense(frames * c.bands, name="loudness")(latents_BxTxF)
    level += loudness.reshape(level.shape)
    # Starts at a quiet level; the cap keeps a wild training step finite.
    gain = jnp.exp(jnp.minimum(level - 4.0, 2.0))
    steadiness = nn.sigmoid(steadiness - 2.0)
    noise = NoiseShape(_to_bins(c, gain), _to_bins(c, steadiness))
    if not c.tones:
      return Shape(noise, None)
    bins = c.fft_size // 2 + 1
    said = nn.Dense(2 * c.synthesis_stride * bins, name="tones")(x)
    said = said.reshape(len(said), -1, 2 * bins)
    level, offset = jnp.split(said, 2, axis=-1)
    lines = nn.Dense(bins, name="lines")(latents_BxTxF)
    level += jnp.repeat(lines, frames, 1)
    amplitude = jnp.exp(jnp.minimum(2.0 * level - 6.0, 2.0))
    return Shape(noise, Tones(amplitude, tones.REACH * jnp.tanh(offset)))


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
  def reach(self) -> int:
    """Frames on either side that the codes of a frame depend on, at most."""
    c = self.config
    layers = c.encoder_code_layers + c.encoder_frame_layers / c.code_stride
    window = c.fft_size / c.hop
    return math.ceil(layers * (c.kernel_size // 2) + window) + 1

  @property
  def context(self) -> tuple[int, int]:
    """`look_back` and `look_ahead`."""
    c = self.config
    hop, overlap = c.synthesis_hop, (c.fft_size - c.synthesis_hop) // 2
    # Inverse-STFT frames heard in frame 0. Hann's first value is zero: of the
    # overlap before a frame's own samples, one counts for nothing.
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

  def decode(
    self,
    codes_BxNxT: jax.Array,
    first_frame: int | jax.Array = 0,
    num_frames: int | jax.Array | None = None,
  ) -> jax.Array:
    """Audio [B, T * hop]; the same codes, the same audio."""
    batch, _, frames = codes_BxNxT.shape
    span = span_of(first_frame, num_frames, frames)
    noise = fixed_noise(self.config, frames, first_frame)
    noise = within(noise.reshape(1, frames, -1), span)
    noise_BxS = jnp.broadcast_to(noise.reshape(1, -1), (batch, noise.size))
    shape = self.decoder(self.embed(codes_BxNxT), span)
    lines: jax.Array | float = 0.0
    if shape.tones is not None:
      turned = tones.advance(self.config, shape.tones.offset_BxTxK)
      lines = tones.spectra(
        self.config, shape.tones, turned + tones.start(self.config)
      )
    return synthesise(self.config, shape.noise, noise_BxS, lines, span)

  def renderings(
    self,
    latents_BxTxF: jax.Array,
    noises_2xBxS: jax.Array,
    phases_2xBxK: jax.Array,
  ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], Tones | None]:
    """Two for the energy distance and one for the swing, each [B, S]; tones.

    The energy distance would have all noise white, so it sets the gain alone;
    the swing sets the steadiness alone.
    """
    shape = self.decoder(latents_BxTxF)
    noise = shape.noise
    set_gain = noise._replace(
      steadiness_BxTxW=jax.lax.stop_gradient(noise.steadiness_BxTxW)
    )
    set_steadiness = noise._replace(
      gain_BxTxW=jax.lax.stop_gradient(noise.gain_BxTxW)
    )
    one, other = noises_2xBxS
    lines: list = [0.0, 0.0]
    if shape.tones is not None:
      turned = tones.advance(self.config, shape.tones.offset_BxTxK)
      lines = [
        tones.spectra(self.config, shape.tones, turned + phase_BxK[:, None])
        for phase_BxK in phases_2xBxK
      ]
    return (
      synthesise(self.config, set_gain, one, lines[0]),
      synthesise(self.config, set_gain, other, lines[1]),
      synthesise(
        self.config, set_steadiness, one, jax.lax.stop_gradient(lines[0])
      ),
    ), shape.tones


def fixed_noise(
  config: SpectralCodecConfig, num_frames: int, first: int | jax.Array
) -> jax.Array:
  """The white noise of `decode` [T * hop].

  Drawn frame by frame, so that a longer clip begins as a shorter one does.
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
  """Waveform [B, S]: noise (white, of variance one), shaped, and tones."""
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
  """Values of bands, spread over the bins of a spectrum: [B, T', W]."""
  bank = _mel_filters(config)
  spread = bank / np.maximum(bank.sum(1, keepdims=True), 1e-6)
  spread[0], spread[-1] = spread[1], spread[-2]
  return bands_BxTxM.reshape(len(bands_BxTxM), -1, config.bands) @ spread.T


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


def _tone_features(
  config: SpectralCodecConfig, power_BxTxW: jax.Array, measured: Tones
) -> jax.Array:
  """Log power, and tones in the middle of an analysis frame: no phases."""
  stride = config.synthesis_stride
  amplitude = measured.amplitude_BxTxK[:, stride // 2 :: stride]
  offset = measured.offset_BxTxK[:, stride // 2 :: stride]
  power = amplitude**2
  around = jnp.pad(power, ((0, 0), (0, 0), (4, 4)))
  width = power.shape[-1]
  near = sum(around[..., i : i + width] for i in range(9)) / 9
  clear = power / (power + near + 1e-10)
  parts = (
    _log(power_BxTxW + 1e-8),
    _log(power + 1e-10),
    clear * jnp.clip(offset, -2.0, 2.0),
  )
  return jnp.concatenate(parts, -1)


def _lines(config: SpectralCodecConfig, amplitude_BxTxK: jax.Array) -> jax.Array:
  """Log power of the tones of a code frame, its mean over time [B, T, K]."""
  frames = config.code_stride * config.synthesis_stride
  batch, _, width = amplitude_BxTxK.shape
  power = amplitude_BxTxK.reshape(batch, -1, frames, width) ** 2
  return _log(jnp.mean(power, 2) + 1e-10)


def _loudness(config: SpectralCodecConfig, audio_BxS: jax.Array) -> jax.Array:
  """Log power in bands, all synthesis frames of a code frame side by side."""
  spectra = stft.stft(audio_BxS, config.fft_size, config.synthesis_hop)
  power = mel.bands(stft.power(spectra), _mel_filters(config)) + 1e-8
  frames = config.code_stride * config.synthesis_stride
  return _log(power).reshape(len(power), -1, frames * config.bands)


def _log(power: jax.Array) -> jax.Array:
  """Log power of spectra, at about zero mean and unit variance for sound."""
  return 0.25 * jnp.log(power) + 0.5
