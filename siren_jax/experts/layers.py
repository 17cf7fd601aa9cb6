"""Norm, feed-forward, positions and dropout of the experts' blocks."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from siren_jax.common import tuning
from siren_jax.common.mesh import constrain, is_single_device
from siren_jax.experts.config import ExpertConfig


def parameter(
  module: nn.Module, name: str, axes: tuple[str | None, ...], *shape: int
) -> jax.Array:
  """Declares a parameter with the logical names of its axes.

  `ensemble.init` sets its initial value by name: "scale" ones, "...bias" zeros,
  all others normal.
  """
  zeros = nn.with_logical_partitioning(nn.initializers.zeros, axes)
  value: Any = module.param(name, zeros, shape)  # unboxed, once bound
  return value


class RMSNorm(nn.Module):
  """Root-mean-square norm, computed in float32 for any input type."""

  eps: float

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    scale_D = parameter(self, "scale", ("embed_vector",), x.shape[-1])
    x32 = x.astype(jnp.float32)
    power = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
    return (x32 * jax.lax.rsqrt(power + self.eps) * scale_D).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def linear(
  x: jax.Array, kernel: jax.Array, dtype: Any | None = None
) -> jax.Array:
  """x [..., in] times kernel [in, *out]: [..., *out], multiplied in x's type.

  Sums and result have type `dtype`, if given, and so has the gradient.

  The derivative is the usual one, but for the kernel's gradient it transposes
  the narrow operand. By itself, XLA transposes the wide one, which takes a
  quarter of a SwiGLU's time on a CPU. The kernel's gradient is accumulated in
  the kernel's type.
  """
  flat = kernel.reshape(kernel.shape[0], -1).astype(x.dtype)
  product = jnp.matmul(x, flat, preferred_element_type=dtype)
  return product.reshape(*x.shape[:-1], *kernel.shape[1:])


def affine(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
  """`linear` and a bias, whose gradient is summed in the bias's own type.

  Cast first, it would be summed over all rows in x's type: in bfloat16, sums of
  thousands of rows stall.
  """
  y = linear(x, kernel)
  return y + jnp.broadcast_to(bias, y.shape).astype(y.dtype)


def _linear_forward(
  x: jax.Array, kernel: jax.Array, dtype: Any | None
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return linear(x, kernel, dtype), (x, kernel)


def _linear_backward(
  dtype: Any | None, saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  x_dtype, x = x.dtype, x.astype(dy.dtype)
  flat = kernel.reshape(kernel.shape[0], -1)
  width_in, width_out = flat.shape
  dy = dy.reshape(*x.shape[:-1], width_out)
  dx = (dy @ flat.astype(dy.dtype).T).astype(x_dtype)
  narrow, wide = x, dy
  if is_single_device():
    # Faster; over a mesh, this would move the batch between devices.
    narrow, wide = x.reshape(-1, width_in), dy.reshape(-1, width_out)
  if width_in > width_out:
    narrow, wide = wide, narrow
  rows = tuple(range(narrow.ndim - 1))
  grad = jax.lax.dot_general(
    narrow, wide, ((rows, rows), ((), ())), preferred_element_type=kernel.dtype
  )
  if width_in > width_out:
    grad = grad.T
  return dx, grad.reshape(kernel.shape)


linear.defvjp(_linear_forward, _linear_backward)


class SwiGLU(nn.Module):
  """silu(gate) * value, no biases."""

  config: ExpertConfig

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    dim, width = self.config.dim, self.config.ffn_dim
    gate = parameter(self, "gate", ("embed", "mlp"), dim, width)
    value = parameter(self, "value", ("embed", "mlp"), dim, width)
    down = parameter(self, "down", ("mlp", "embed"), width, dim)
    hidden = nn.silu(linear(x, gate)) * linear(x, value)
    if tuning.current().ffn_barrier:
      hidden = jax.lax.optimization_barrier(hidden)
    return linear(hidden, down)


def sinusoid(positions: jax.Array, dim: int) -> jax.Array:
  """[...] to [..., D]: sin on even channels, cos on odd, base 10000."""
  frequency = 10000.0 ** (-jnp.arange(0, dim, 2) / dim)
  angle = positions[..., None] * frequency
  pairs = jnp.stack([jnp.sin(angle), jnp.cos(angle)], -1)
  return pairs.reshape(*positions.shape, dim)


def dropout_bytes(
  key: jax.Array | None, rate: float, shape: tuple[int, ...]
) -> jax.Array | None:
  """Random bytes [..., B, T, D] for the dropouts of one block; None: no key.

  On a CPU, Threefry dominates the cost of dropout. So each element gets one
  byte, shared by the block's dropouts. Bytes are drawn four per word (one hash
  each) in one flat draw, which compiles five times as fast. Over a mesh, each
  device draws the same bytes for its rows only.
  """
  if key is None or rate == 0.0:
    return None
  *rows, width = shape
  words = (*rows, -(-width // 4))
  if is_single_device():
    bits = jax.random.bits(key, (math.prod(words),), jnp.uint32).reshape(words)
  else:
    bits = jax.random.bits(key, words, jnp.uint32)
    bits = constrain(bits, *[None] * (len(shape) - 3), "batch", None, None)
  as_bytes = jax.lax.bitcast_convert_type(bits, jnp.uint8)
  return as_bytes.reshape(*rows, -1)[..., :width]


def dropout(
  x: jax.Array, rate: float, random: jax.Array | None, index: int
) -> jax.Array:
  """Inverted dropout, its rate rounded to 1/256; the identity without bytes.

  Args:
    random: from `dropout_bytes`.
    index: of this dropout among those that share the bytes; each drops elements
      whose byte falls in its own range.
  """
  if random is None:
    return x
  dropped = min(round(256 * rate), 255)
  kept = random + jnp.uint8(index * dropped % 256) >= dropped
  return jnp.where(kept, x * (256 / (256 - dropped)), 0)
