"""The Descript Audio Codec (Kumar et al. 2023), as published.

Snake activations, dilated filters at the waveform's rate, strided convolutions
down to the frame rate and transposed ones back. Padding is explicit, and odd
strides lose samples: T frames make `hop * T - rest` samples.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.codec.config import DacConfig
from siren_jax.codec.layers import Span, span_of, within
from siren_jax.codec.quantizer import (
  Renderings,
  ResidualCodec,
  ResidualQuantizer,
)

_DILATIONS = (1, 3, 9)
_KERNEL = 7
_LATENT_KERNEL = 3  # the encoder's last filter
# sin(x) / x as a polynomial in x^2 for |x| <= pi / 2, within 2e-8 (a Chebyshev
# fit); and pi as the sum of 8 bits, whose multiples are exact, and the rest.
_SINE = (
  0.9999999957,
  -0.1666665797,
  8.333050617e-3,
  -1.980904636e-4,
  2.605166e-6,
)
_PI = (201 / 64, 9.67653589793e-4)


class Snake(nn.Module):
  """x + sin(alpha x)^2 / alpha, one alpha a channel (Ziyin et al. 2020)."""

  @nn.compact
  def __call__(self, x_BxTxD: jax.Array) -> jax.Array:
    alpha = self.param("alpha", nn.initializers.ones, (x_BxTxD.shape[-1],))
    return x_BxTxD + _squared_sine(alpha * x_BxTxD) / (alpha + 1e-9)


def _squared_sine(x: jax.Array) -> jax.Array:
  """sin(x)^2, faster than by `jnp.sin`: a third of a decode on a CPU.

  The period is pi, so range reduction needs no quadrants. Computed in float32
  for any input type.
  """
  x32 = x.astype(jnp.float32)
  periods = jax.lax.stop_gradient(jnp.round(x32 / jnp.pi))
  x32 = x32 - periods * _PI[0] - periods * _PI[1]
  sine = x32 * jnp.polyval(jnp.array(_SINE[::-1]), jnp.square(x32))
  return jnp.square(sine).astype(x.dtype)


class Filter(nn.Module):
  """Convolution along time that keeps the length."""

  width: int
  kernel_size: int
  dilation: int = 1

  @nn.compact
  def __call__(self, x_BxTxD: jax.Array, span: Span | None = None) -> jax.Array:
    shape = self.kernel_size, x_BxTxD.shape[-1], self.width
    kernel, bias = _weights(self, shape)
    reach = (self.kernel_size - 1) * self.dilation // 2
    y = jax.lax.conv_general_dilated(
      within(x_BxTxD, span),
      kernel,
      window_strides=(1,),
      padding=[(reach, reach)],
      rhs_dilation=(self.dilation,),
      dimension_numbers=("NWC", "WIO", "NWC"),
    )
    return y + bias


class Down(nn.Module):
  """Convolution with kernel 2 x stride and step `stride`.

  A matrix product that maps two groups of `stride` samples to one.
  """

  width: int
  stride: int

  @nn.compact
  def __call__(self, x_BxTxD: jax.Array) -> jax.Array:
    batch, length, width = x_BxTxD.shape
    kernel, bias = _weights(self, (2 * self.stride, width, self.width))
    frames, edge = length // self.stride, -(-self.stride // 2)
    after = (frames + 1) * self.stride - edge - length
    x = jnp.pad(x_BxTxD, ((0, 0), (edge, after), (0, 0)))
    x = x.reshape(batch, frames + 1, self.stride * width)
    first, second = kernel.reshape(2, -1, self.width)
    return x[:, :-1] @ first + x[:, 1:] @ second + bias


class Up(nn.Module):
  """Transposed convolution with kernel 2 x stride, the reverse of `Down`.

  T to T x stride samples, or one less if the stride is odd.
  """

  width: int
  stride: int

  @nn.compact
  def __call__(self, x_BxTxD: jax.Array, span: Span | None = None) -> jax.Array:
    batch, frames, width = x_BxTxD.shape
    kernel, bias = _weights(self, (2 * self.stride, width, self.width))
    x = within(x_BxTxD, span)
    first, second = (
      jnp.moveaxis(kernel, 1, 0).reshape(width, 2, -1).swapaxes(0, 1)
    )
    early = jnp.pad(x @ first, ((0, 0), (0, 1), (0, 0)))
    late = jnp.pad(x @ second, ((0, 0), (1, 0), (0, 0)))
    y = early + late
    y = y.reshape(batch, (frames + 1) * self.stride, self.width)
    edge = -(-self.stride // 2)
    return y[:, edge : y.shape[1] - edge] + bias


class ResidualUnit(nn.Module):
  """Two Snakes, a dilated filter and a mix of channels."""

  dilation: int

  @nn.compact
  def __call__(self, x_BxTxD: jax.Array, span: Span | None = None) -> jax.Array:
    width = x_BxTxD.shape[-1]
    y = Snake(name="snake_in")(x_BxTxD)
    y = Filter(width, _KERNEL, self.dilation, name="filter")(y, span)
    y = Filter(width, 1, name="mix")(Snake(name="snake_out")(y))
    return x_BxTxD + y


class Encoder(nn.Module):
  """Audio [B, S] to latents [B, S/hop, F]."""

  config: DacConfig

  @nn.compact
  def __call__(self, audio_BxS: jax.Array) -> jax.Array:
    cfg = self.config
    x = Filter(cfg.encoder_width, _KERNEL, name="first")(audio_BxS[..., None])
    for i, stride in enumerate(cfg.strides):
      for j, dilation in enumerate(_DILATIONS):
        x = ResidualUnit(dilation, name=f"unit_{i}_{j}")(x)
      x = Snake(name=f"snake_{i}")(x)
      x = Down(cfg.encoder_width * 2 ** (i + 1), stride, name=f"down_{i}")(x)
    x = Snake(name="snake")(x)
    return Filter(cfg.feature_dim, _LATENT_KERNEL, name="last")(x)


class Decoder(nn.Module):
  """Latents [B, T, F] to audio [B, T * hop - rest]."""

  config: DacConfig

  @nn.compact
  def __call__(
    self, latents_BxTxF: jax.Array, span: Span | None = None
  ) -> jax.Array:
    cfg = self.config
    x = Filter(cfg.decoder_width, _KERNEL, name="first")(latents_BxTxF, span)
    for i, stride in enumerate(reversed(cfg.strides)):
      x = Snake(name=f"snake_{i}")(x)
      width = cfg.decoder_width // 2 ** (i + 1)
      x = Up(width, stride, name=f"up_{i}")(x, span)
      span = span if span is None else span.at(stride, stride % 2)
      for j, dilation in enumerate(_DILATIONS):
        x = ResidualUnit(dilation, name=f"unit_{i}_{j}")(x, span)
    x = Filter(1, _KERNEL, name="last")(Snake(name="snake")(x), span)
    return jnp.tanh(within(x, span)[..., 0])


class Dac(ResidualCodec):
  """Encoder, residual quantizer and decoder."""

  config: DacConfig

  def setup(self) -> None:
    cfg = self.config
    self.encoder = Encoder(cfg)
    self.quantizer = ResidualQuantizer(
      cfg.num_codebooks, cfg.codebook_size, cfg.code_dim, cfg.feature_dim
    )
    self.decoder = Decoder(cfg)

  @property
  def reach(self) -> int:
    """Most frames on either side that the codes of a frame depend on."""
    filters = sum(_DILATIONS) * (_KERNEL // 2)
    edge = _KERNEL // 2
    rate, samples = 1, edge
    for stride in self.config.strides:
      samples += (filters + stride) * rate
      rate *= stride
    return -(-(samples + edge * rate) // rate)

  @property
  def context(self) -> tuple[int, int]:
    """`look_back` and `look_ahead`."""
    edge = _KERNEL // 2
    first, last = -edge, self.config.hop - 1 + edge
    for stride in self.config.strides:
      filters = sum(_DILATIONS) * edge
      # `Up` makes a group of samples from two frames and drops the first ones.
      first = (first - filters + -(-stride // 2)) // stride - 1
      last = (last + filters + -(-stride // 2)) // stride
    return edge - first, edge + last

  @property
  def first_phase(self) -> None:
    """None: there are no voices."""

  def decode_window(
    self,
    codes_BxNxT: jax.Array,
    first_frame: int | jax.Array,
    num_frames: int | jax.Array | None,
    phase_BxY: None,
    known_frame: int | jax.Array,
  ) -> tuple[jax.Array, None]:
    """See `ResidualCodec.decode_window`; the last `rest` samples are zeros."""
    del phase_BxY, known_frame
    span = span_of(first_frame, num_frames, codes_BxNxT.shape[2])
    return self._whole(self.decoder(self.embed(codes_BxNxT), span)), None

  def renderings(
    self, latents_BxTxF: jax.Array, audio_BxS: jax.Array, key: jax.Array
  ) -> Renderings:
    """All renderings are the same: there is no noise."""
    del audio_BxS, key
    return Renderings(*(self._whole(self.decoder(latents_BxTxF)),) * 3, {})

  def _whole(self, audio_BxS: jax.Array) -> jax.Array:
    return jnp.pad(audio_BxS, ((0, 0), (0, self.config.rest)))


def _weights(
  module: nn.Module, shape: tuple[int, int, int]
) -> tuple[jax.Array, jax.Array]:
  """Kernel [size, in, out] with weight norm folded in, and bias."""
  kernel = module.param("kernel", nn.initializers.truncated_normal(0.02), shape)
  return kernel, module.param("bias", nn.initializers.zeros, shape[-1:])
