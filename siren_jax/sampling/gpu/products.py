"""Matrix products of one frame, fused with the operations around them.

At batch size one, the time of a frame is that of reading the weights and
launching its kernels. These kernels read each weight once and include the norm
before a product, and SwiGLU, bias and residual after it. They are written in
Pallas for Triton; without a GPU they are interpreted, slowly.

Activations have ROWS rows, B, the minimum of a GPU's matrix units; only the
first ones are used. Product kernels are stored transposed, [I, D], so that the
summed axis is contiguous. Axis D: summed over; I: output channels.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from siren_jax.common import tuning

ROWS = 16


class Int8(NamedTuple):
  """A kernel in eight bits, with a scale for each output channel."""

  values_KxIxD: jax.Array
  scale_KxI: jax.Array

  def whole(self, dtype: Any) -> jax.Array:
    """The kernel [K, I, D] that this stands for."""
    values = self.values_KxIxD.astype(jnp.float32)
    return (values * self.scale_KxI[..., None]).astype(dtype)


Kernel = jax.Array | Int8  # [K, I, D]


def quantised(kernel_KxIxD: jax.Array) -> Int8:
  """Rounds a kernel to eight bits; the largest value is 127 steps."""
  kernel = kernel_KxIxD.astype(jnp.float32)
  scale_KxI = jnp.max(jnp.abs(kernel), 2) / 127
  steps = kernel / jnp.maximum(scale_KxI, 1e-30)[..., None]
  return Int8(jnp.round(steps).astype(jnp.int8), scale_KxI)


class Norm(NamedTuple):
  """An RMSNorm before a product: `scale_KxD`, and its epsilon."""

  scale_KxD: jax.Array
  eps: float


def linear(
  x_KxBxD: jax.Array,
  kernel: Kernel,
  *,
  norm: Norm | None = None,
  value: Kernel | None = None,
  bias: jax.Array | None = None,
  residual_KxBxI: jax.Array | None = None,
  dtype: Any | None = None,
) -> jax.Array:
  """x times kernel, [K, B, I], with fused operations.

  Args:
    norm: applied to x. value: value kernel of a SwiGLU whose gate is `kernel`.
    bias: [K, 1, I] or [K, B, I]; added, as is residual_KxBxI.
    dtype: of the result; by default that of x.
  """
  experts, _, width = x_KxBxD.shape
  gate, gate_scale = parts(kernel)
  out = gate.shape[1]
  tile, step = block(out, 32), block(width, 128)
  whole = pl.BlockSpec((None, ROWS, width), lambda k, _: (k, 0, 0))
  rows = pl.BlockSpec((None, tile, width), lambda k, i: (k, i, 0))
  part = pl.BlockSpec((None, ROWS, tile), lambda k, i: (k, 0, i))
  one = pl.BlockSpec((None, 1, tile), lambda k, i: (k, 0, i))
  optional = {
    "scale": (
      norm and norm.scale_KxD,
      pl.BlockSpec((None, width), lambda k, _: (k, 0)),
    ),
    "gate_scale": (gate_scale, one),
    "value": (None if value is None else parts(value)[0], rows),
    "value_scale": (None if value is None else parts(value)[1], one),
    "bias": (bias, part if bias is None or bias.shape[1] > 1 else one),
    "residual": (residual_KxBxI, part),
  }
  given = {n: pair for n, pair in optional.items() if pair[0] is not None}
  body = functools.partial(
    _linear, tuple(given), width, step, norm.eps if norm else 0.0
  )
  shape = jax.ShapeDtypeStruct((experts, ROWS, out), dtype or x_KxBxD.dtype)
  return pl.pallas_call(
    body,
    grid=(experts, out // tile),
    in_specs=[whole, rows, *(spec for _, spec in given.values())],
    out_specs=part,
    out_shape=shape,
    **options(),
    name="linear",
  )(x_KxBxD, gate, *(array for array, _ in given.values()))


def parts(kernel: Kernel) -> tuple[jax.Array, jax.Array | None]:
  """Values [K, I, D], and scales [K, 1, I] of the output if quantized."""
  if isinstance(kernel, Int8):
    return kernel.values_KxIxD, kernel.scale_KxI[:, None]
  return kernel, None


def _linear(
  names: tuple[str, ...], width: int, step: int, eps: float, *refs: Any
) -> None:
  x_ref, kernel_ref, *others, out_ref = refs
  given = dict(zip(names, others, strict=True))
  inverse = None
  if "scale" in given:

    def square(i: jax.Array, total: jax.Array) -> jax.Array:
      x = x_ref[:, pl.ds(i * step, step)].astype(jnp.float32)
      return total + jnp.sum(x * x, 1)

    power = jax.lax.fori_loop(
      0, width // step, square, jnp.zeros(ROWS, jnp.float32)
    )
    inverse = jax.lax.rsqrt(power / width + eps)[:, None]

  def inputs(i: jax.Array) -> jax.Array:
    x = x_ref[:, pl.ds(i * step, step)]
    if inverse is None:
      return x
    scale = given["scale"][pl.ds(i * step, step)].astype(jnp.float32)
    return (x.astype(jnp.float32) * inverse * scale).astype(x.dtype)

  def product(ref: Any, scale: str) -> jax.Array:
    def add(i: jax.Array, total: jax.Array) -> jax.Array:
      x, w = inputs(i), ref[:, pl.ds(i * step, step)]
      return total + dot(x, w.astype(x.dtype))

    start = jnp.zeros((ROWS, out_ref.shape[-1]), jnp.float32)
    total = jax.lax.fori_loop(0, width // step, add, start)
    return total * given[scale][...] if scale in given else total

  y = product(kernel_ref, "gate_scale")
  if "value" in given:
    y = y * jax.nn.sigmoid(y) * product(given["value"], "value_scale")
  for name in ("bias", "residual"):
    if name in given:
      y = y + given[name][...].astype(jnp.float32)
  out_ref[...] = y.astype(out_ref.dtype)


def options() -> dict[str, Any]:
  """Compilation options; without a GPU, kernels are interpreted."""
  return {
    "compiler_params": triton.CompilerParams(num_warps=4, num_stages=3),
    "interpret": tuning.kind() != "gpu",
  }


def dot(x_BxD: jax.Array, w_IxD: jax.Array) -> jax.Array:
  return jax.lax.dot_general(
    x_BxD, w_IxD, (((1,), (1,)), ((), ())),
    precision="highest" if x_BxD.dtype == jnp.float32 else None,
    preferred_element_type=jnp.float32,
  )  # fmt: skip


def block(size: int, largest: int) -> int:
  """The largest power of two, up to `largest`, that divides the size.

  Raises:
    ValueError: it is below 16, the minimum of the matrix units.
  """
  power = min(largest, size & -size)
  if power < 16:
    raise ValueError(f"{size} is not a multiple of 16")
  return power
