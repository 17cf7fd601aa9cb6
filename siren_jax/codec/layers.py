"""ConvNeXt blocks over frames, also for windows of longer sounds."""

import functools
import operator
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class Span(NamedTuple):
  """The frames of a window within the sound: from start to before stop."""

  start: jax.Array
  stop: jax.Array

  def at(self, factor: int, lost: int = 0) -> "Span":
    """The span at a rate `factor` times as high, without the `lost` frames."""
    return Span(self.start * factor, self.stop * factor - lost)

  def mask(self, length: int) -> jax.Array:
    """Mask [T], True within the sound."""
    place_T = jnp.arange(length)
    return (self.start <= place_T) & (place_T < self.stop)


def span_of(
  first_frame: int | jax.Array,
  num_frames: int | jax.Array | None,
  length: int,
) -> Span | None:
  """Span of a window of `length` frames that starts at frame `first_frame`.

  `num_frames`: length of the sound; None: the window is the whole sound.
  """
  if num_frames is None:
    return None
  start, stop = jnp.array([0, num_frames]) - first_frame
  return Span(jnp.clip(start, 0, length), jnp.clip(stop, 0, length))


def within(x_BxTxD: jax.Array, span: Span | None) -> jax.Array:
  """Sets frames outside the span to zero, like padding; None: none."""
  if span is None:
    return x_BxTxD
  return jnp.where(span.mask(x_BxTxD.shape[1])[:, None], x_BxTxD, 0)


class DepthwiseConv(nn.Module):
  """One filter per channel along time, zero padded.

  Written as a sum of shifted products: on a CPU, XLA takes 80 times as long for
  the equivalent grouped convolution.
  """

  kernel_size: int

  @nn.compact
  def __call__(self, x_BxTxD: jax.Array, span: Span | None = None) -> jax.Array:
    width = x_BxTxD.shape[-1]
    kernel = self.param(
      "kernel", nn.initializers.normal(0.1), (self.kernel_size, width)
    )
    before = self.kernel_size // 2
    after = self.kernel_size - 1 - before
    x = jnp.pad(within(x_BxTxD, span), ((0, 0), (before, after), (0, 0)))
    frames = x_BxTxD.shape[1]
    taps = (x[:, i : i + frames] * kernel[i] for i in range(len(kernel)))
    return functools.reduce(operator.add, taps)


class ConvNeXtBlock(nn.Module):
  """Depthwise filter, LayerNorm and a two-layer perceptron, residual."""

  kernel_size: int
  expansion: int

  @nn.compact
  def __call__(self, x_BxTxD: jax.Array, span: Span | None = None) -> jax.Array:
    width = x_BxTxD.shape[-1]
    y = DepthwiseConv(self.kernel_size, name="filter")(x_BxTxD, span)
    y = nn.LayerNorm(name="norm")(y)
    y = nn.Dense(self.expansion * width, name="up")(y)
    y = nn.Dense(width, name="down")(nn.gelu(y))
    scale = self.param("scale", nn.initializers.constant(0.3), (width,))
    return x_BxTxD + scale * y


class ConvNeXtStack(nn.Module):
  """LayerNorm, then `layers` ConvNeXt blocks."""

  layers: int
  kernel_size: int
  expansion: int

  @nn.compact
  def __call__(self, x_BxTxD: jax.Array, span: Span | None = None) -> jax.Array:
    x = nn.LayerNorm(name="norm")(x_BxTxD)
    for i in range(self.layers):
      block = ConvNeXtBlock(self.kernel_size, self.expansion, name=f"block_{i}")
      x = block(x, span)
    return x
