import jax
import numpy as np
import pytest

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
