"""The hand-written parts against their plain forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.common import mesh as meshes
from siren_jax.experts import layers
from siren_jax.experts.layers import dropout, dropout_bytes, linear, sinusoid


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (6, 2, 4)])
def test_linear_and_its_derivative(shape):
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (3, 5, shape[0]))
  kernel = jax.random.normal(keys[1], shape)
  weight = jax.random.normal(keys[2], (3, 5, *shape[1:]))

  def value(function):
    return lambda x, kernel: jnp.sum(weight * function(x, kernel))

  def plain(x, kernel):
    return jnp.tensordot(x, kernel, 1)

  np.testing.assert_allclose(linear(x, kernel), plain(x, kernel), atol=1e-5)
  for got, expected in zip(
    jax.grad(value(linear), (0, 1))(x, kernel),
    jax.grad(value(plain), (0, 1))(x, kernel),
    strict=True,
  ):
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_product_in_float32_loses_nothing_to_bfloat16():
  """Of bfloat16 operands: neither in the result nor in its gradient."""
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (4, 8)).astype("bfloat16")
  kernel = jax.random.normal(keys[1], (8, 6)).astype("bfloat16")
  weight = jax.random.normal(keys[2], (4, 6))
  exact = x.astype("float32"), kernel.astype("float32")
  product = linear(x, kernel, jnp.float32)
  assert product.dtype == jnp.float32
  np.testing.assert_allclose(product, linear(*exact), rtol=1e-6, atol=1e-6)

  def value(x, kernel):
    return jnp.sum(weight * linear(x, kernel, jnp.float32))

  for got, expected in zip(
    jax.grad(value, (0, 1))(x, kernel),
    jax.grad(value, (0, 1))(*exact),
    strict=True,
  ):
    rounded = expected.astype("bfloat16").astype("float32")
    np.testing.assert_array_equal(got.astype("float32"), rounded)


def test_positions_are_sines_on_even_and_cosines_on_odd_channels():
  table = sinusoid(jnp.arange(5), 6)
  for position in range(5):
    for channel in range(6):
      angle = position / 10000 ** ((channel // 2 * 2) / 6)
      expected = np.cos(angle) if channel % 2 else np.sin(angle)
      assert table[position, channel] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("index", [0, 1, 5])
def test_dropout_drops_its_share_and_keeps_the_mean(index):
  shape = (400, 100)
  random = dropout_bytes(jax.random.key(0), 0.25, shape)
  out = dropout(jnp.ones(shape), 0.25, random, index)
  assert jnp.mean(out == 0) == pytest.approx(0.25, abs=0.01)
  assert jnp.mean(out) == pytest.approx(1, abs=0.02)
  assert (jnp.isclose(out, 0) | jnp.isclose(out, 4 / 3)).all()


def test_dropouts_that_share_bytes_drop_different_elements():
  random = dropout_bytes(jax.random.key(0), 0.25, (1000,))
  first, second = (
    dropout(jnp.ones(1000), 0.25, random, index) == 0 for index in (0, 1)
  )
  assert not (first & second).any()


@pytest.mark.parametrize("width", [1, 3, 8, 10])
def test_every_byte_is_as_likely_at_any_width(width):
  random = dropout_bytes(jax.random.key(0), 0.25, (8, 2000, width))
  assert random.shape == (8, 2000, width) and random.dtype == jnp.uint8
  counts = np.bincount(np.ravel(random), minlength=256)
  mean = random.size / 256
  assert np.abs(counts - mean).max() < 5 * np.sqrt(mean)
  if width > 1:  # Bytes of one word, too.
    flat = np.asarray(random, np.float64).reshape(-1, width)
    correlation = np.corrcoef(flat.T) - np.eye(width)
    assert np.abs(correlation).max() < 0.04


@pytest.mark.parametrize("width", [7, 8])
def test_a_mesh_draws_the_bytes_of_one_device(width):
  shape = (3, 8, 5, width)
  draw = jax.jit(lambda key: dropout_bytes(key, 0.25, shape))
  expected = draw(jax.random.key(0))
  with jax.set_mesh(meshes.make_mesh(meshes.MeshConfig(data=4, fsdp=2))):
    actual = draw(jax.random.key(0))
    compiled = draw.lower(jax.random.key(0)).compile().as_text()
  np.testing.assert_array_equal(actual, expected)
  assert actual.sharding.shard_shape(shape) == (3, 1, 5, width)
  assert "all-" not in compiled  # Each draws its own rows.


def test_no_key_no_dropout():
  assert dropout_bytes(None, 0.5, (3,)) is None
  np.testing.assert_array_equal(dropout(jnp.ones(3), 0.5, None, 0), 1)


def test_gradients_of_biases_are_sums_of_float32():
  """In bfloat16, sums of more than 256 ones would stall."""
  x = jnp.zeros((64, 512, 4), jnp.bfloat16)
  kernel, bias = jnp.zeros((4, 3)), jnp.zeros(3)

  def total(bias):
    return layers.affine(x, kernel, bias).sum(dtype=jnp.float32)

  gradient = jax.grad(total)(bias)
  assert gradient.dtype == jnp.float32
  np.testing.assert_array_equal(gradient, 64 * 512)


def test_dropout_of_almost_everything_is_finite():
  random = jnp.arange(256, dtype=jnp.uint8)
  kept = layers.dropout(jnp.ones(256), 0.9999, random, 0)
  assert kept.sum() == 256 and (kept > 0).sum() == 1
