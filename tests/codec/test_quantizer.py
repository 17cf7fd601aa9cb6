"""The residual quantizer against a loop in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
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


def test_in_bfloat16_embedding_stays_bfloat16(quantizer):
  module, params, x = quantizer
  codes_BxNxT = module.apply({"params": params}, x, jnp.full(3, 4)).codes_BxNxT
  exact, rounded = (
    module.apply({"params": tree}, codes_BxNxT, method="embed")
    for tree in (params, jax.tree.map(jnp.bfloat16, params))
  )
  assert rounded.dtype == jnp.bfloat16
  np.testing.assert_allclose(rounded.astype("f4"), exact, atol=0.05)


@pytest.mark.parametrize("depth", [1, 4, 5])
def test_gradient_passes_straight_through_to_the_encoder(quantizer, depth):
  module, params, x = quantizer
  weight = jax.random.normal(jax.random.key(2), x.shape)

  def total(x):
    q = module.apply({"params": params}, x, jnp.full(3, depth))
    return jnp.sum(weight * q.latents_BxTxF)

  np.testing.assert_allclose(jax.grad(total)(x), weight, atol=1e-4)


def test_beyond_the_last_codebook_latents_stay_as_they_are(quantizer):
  module, params, x = quantizer
  q = module.apply({"params": params}, x, jnp.array([4, 5, 1]))
  np.testing.assert_array_equal(q.latents_BxTxF[1], x[1])
  assert jnp.abs(q.latents_BxTxF[0] - x[0]).max() > 0.1


def test_rebuilding_trains_every_stage_but_not_the_encoder(quantizer):
  module, params, x = quantizer

  def loss(params, x):
    q = module.apply({"params": params}, x, jnp.full(3, 1))
    return q.rebuilding + q.codebook

  grads, x_grad = jax.grad(loss, (0, 1))(params, x)
  for path, grad in jax.tree.leaves_with_path(grads):
    assert jnp.abs(grad).max() > 0, path
  assert jnp.abs(x_grad).max() == 0


def test_training_leaves_a_smaller_residual(quantizer):
  module, params, x = quantizer
  tx = optax.adam(3e-2)

  @jax.jit
  def step(params, opt):
    def loss(params):
      q = module.apply({"params": params}, x, jnp.full(3, 4))
      return q.rebuilding + q.codebook, q.residual

    grads, residual = jax.grad(loss, has_aux=True)(params)
    updates, opt = tx.update(grads, opt)
    return optax.apply_updates(params, updates), opt, residual

  opt = tx.init(params)
  residuals = []
  for _ in range(150):
    params, opt, residual = step(params, opt)
    residuals.append(float(residual))
  assert residuals[-1] < min(0.2, 0.2 * residuals[0])


@pytest.fixture(scope="module")
def small():
  """Two codebooks of four codes: all sequences can be tried."""
  module = ResidualQuantizer(2, 4, 3, 6)
  x_BxTxF = jax.random.normal(jax.random.key(1), (5, 9, 6))
  params = module.init(jax.random.key(0), x_BxTxF, jnp.full(5, 2))["params"]
  # Codes that are no longer small, as after training.
  stages = jax.tree.map(lambda x: x, params)
  for n, stage in enumerate(stages.values()):
    kernel = stage["project_out"]["kernel"]
    noise = jax.random.normal(jax.random.key(n), kernel.shape)
    stage["project_out"]["kernel"] = 0.5 * noise
  return module, {"params": stages}, x_BxTxF


def _search(quantizer, beam):
  module, variables, x = quantizer
  codes = module.apply(variables, x, beam, method="search")
  latents = module.apply(variables, codes, method="embed")
  return np.asarray(codes), np.sum((x - latents) ** 2, -1)


def test_a_search_of_one_takes_the_nearest_codes(small):
  module, variables, x = small
  quantized = module.apply(variables, x, jnp.full(5, 2))
  codes, energy = _search(small, 1)
  np.testing.assert_array_equal(codes, quantized.codes_BxNxT)
  for beam in (2, 3):
    _, less = _search(small, beam)
    assert less.mean() < energy.mean()


def test_a_search_of_all_finds_the_best_codes(small):
  module, variables, x = small
  every_IxN = np.stack(np.meshgrid(*2 * [np.arange(4)], indexing="ij"), -1)
  every_IxN = every_IxN.reshape(-1, 2)
  latents_IxF = module.apply(variables, every_IxN[..., None], method="embed")
  left = np.sum((x[:, :, None] - latents_IxF[:, 0]) ** 2, -1)
  codes, energy = _search(small, 4)
  np.testing.assert_allclose(energy, left.min(-1), rtol=1e-5)
  best_BxTxN = every_IxN[left.argmin(-1)]
  np.testing.assert_array_equal(codes, np.swapaxes(best_BxTxN, 1, 2))
