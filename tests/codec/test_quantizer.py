"""The residual quantizer against a loop in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.codec.quantizer import ResidualQuantizer


@pytest.fixture(scope="module")
def quantizer():
  module = ResidualQuantizer(4, 32, 8, 16)
  x_BxTxF = jax.random.normal(jax.random.key(1), (3, 7, 16))
  params = module.init(jax.random.key(0), x_BxTxF, jnp.full(3, 4))["params"]
  return module, params, x_BxTxF


def _by_hand(params, x, depth):
  residual, total, codes = np.asarray(x, "f8"), 0, []
  for n in range(depth):
    p = jax.tree.map(lambda a: np.asarray(a, "f8"), params[f"stage_{n}"])
    z = residual @ p["project_in"]["kernel"] + p["project_in"]["bias"]
    unit = lambda a: a / np.linalg.norm(a, axis=-1, keepdims=True)  # noqa: E731
    code = (unit(z) @ unit(p["codebook"]).T).argmax(-1)
    out = p["codebook"][code] @ p["project_out"]["kernel"]
    out = out + p["project_out"]["bias"]
    residual, total = residual - out, total + out
    codes.append(code)
  return total, np.stack(codes)


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_matches_a_plain_loop(quantizer, depth):
  module, params, x = quantizer
  got = module.apply({"params": params}, x, jnp.full(3, depth))
  for row in range(3):
    latents, codes = _by_hand(params, x[row], depth)
    np.testing.assert_array_equal(got.codes_BxNxT[row, :depth], codes)
    np.testing.assert_allclose(got.latents_BxTxF[row], latents, atol=1e-4)


def test_embedding_codes_gives_the_quantized_latents(quantizer):
  module, params, x = quantizer
  variables = {"params": params}
  got = module.apply(variables, x, jnp.full(3, 4))
  for depth in (2, 4):
    latents = module.apply(variables, x, jnp.full(3, depth)).latents_BxTxF
    embedded = module.apply(
      variables, got.codes_BxNxT[:, :depth], method="embed"
    )
    np.testing.assert_allclose(embedded, latents, atol=1e-5)


def test_gradient_passes_straight_through_to_the_encoder(quantizer):
  module, params, x = quantizer
  total = lambda x: jnp.sum(  # noqa: E731
    module.apply({"params": params}, x, jnp.full(3, 1)).latents_BxTxF
  )
  p = params["stage_0"]
  matrix = p["project_in"]["kernel"] @ p["project_out"]["kernel"]
  expected = jnp.broadcast_to(matrix.sum(1), x.shape)
  np.testing.assert_allclose(jax.grad(total)(x), expected, atol=1e-4)


def test_unused_codebooks_get_no_gradient(quantizer):
  module, params, x = quantizer

  def loss(params):
    q = module.apply({"params": params}, x, jnp.full(3, 2))
    return jnp.sum(q.latents_BxTxF) + q.codebook + q.commitment

  grads = jax.grad(loss)(params)
  norm = lambda n: float(  # noqa: E731
    sum(jnp.abs(g).sum() for g in jax.tree.leaves(grads[f"stage_{n}"]))
  )
  assert norm(0) > 0 and norm(1) > 0
  assert norm(2) == 0 and norm(3) == 0
