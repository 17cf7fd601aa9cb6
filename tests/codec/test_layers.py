import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.codec.dac import Snake
from siren_jax.codec.layers import ConvNeXtStack


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_blocks_compute_in_the_type_of_their_parameters(dtype):
  module = ConvNeXtStack(layers=2, kernel_size=3, expansion=2)
  x_BxTxD = jax.random.normal(jax.random.key(0), (2, 5, 8))
  params = module.init(jax.random.key(1), x_BxTxD)
  exact = module.apply(params, x_BxTxD)
  cast = jax.tree.map(lambda a: a.astype(dtype), (params, x_BxTxD))
  output = module.apply(*cast)
  assert output.dtype == dtype
  np.testing.assert_allclose(output.astype("f4"), exact, atol=0.1)


@pytest.mark.parametrize("alpha", [0.01, 1.0, 30.0])
def test_a_snake_matches_its_paper(alpha):
  """Values and derivatives, for arguments of many turns too."""
  x_BxTxD = np.linspace(-40, 40, 20_001, dtype="f4")[None, :, None]
  params = {"params": {"alpha": jnp.full(1, alpha)}}

  def snake(x: jax.Array) -> jax.Array:
    output: jax.Array = Snake().apply(params, x)
    return output

  argument = (np.float32(alpha) * x_BxTxD).astype("f8")
  expected = x_BxTxD + np.sin(argument) ** 2 / alpha
  np.testing.assert_allclose(
    jax.jit(snake)(x_BxTxD), expected, rtol=1e-6, atol=1e-6 / min(1, alpha)
  )
  slope = jax.grad(lambda x: jnp.sum(snake(x)))(x_BxTxD)
  np.testing.assert_allclose(slope, 1 + np.sin(2 * argument), atol=3e-6)


def test_a_snake_keeps_bfloat16_to_its_own_precision():
  x_BxTxD = np.linspace(-40, 40, 2_001).reshape(1, -1, 1).astype(jnp.bfloat16)
  params = {"params": {"alpha": jnp.ones(1, jnp.bfloat16)}}
  output = Snake().apply(params, x_BxTxD)
  assert output.dtype == jnp.bfloat16
  exact = x_BxTxD.astype("f8")
  expected = exact + np.sin(exact) ** 2
  np.testing.assert_allclose(
    np.asarray(output, "f8"), expected, rtol=0.008, atol=0.01
  )
