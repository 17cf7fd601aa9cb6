"""Named keys, masked means."""

import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.common.masks import masked_mean
from siren_jax.common.rng import named_key


def test_keys_differ_by_name_and_step_and_repeat():
  root = jax.random.key(0)
  keys = [
    named_key(root, "a"), named_key(root, "b"), named_key(root, "a", 0),
    named_key(root, "a", 1), named_key(jax.random.key(1), "a"),
  ]  # fmt: skip
  assert len({jax.random.key_data(k).tobytes() for k in keys}) == 5
  again = jax.jit(lambda s: named_key(root, "a", s))(1)
  assert again == keys[3]


def test_key_of_a_name_never_changes():
  """Old runs could not be resumed if it did (CRC-32 of "step")."""
  expected = jax.random.fold_in(jax.random.key(7), 0x43B9FE3C)
  assert named_key(jax.random.key(7), "step") == expected


def test_masked_mean_ignores_what_is_masked_in_value_and_gradient():
  x = jnp.asarray([[1.0, 2.0, jnp.nan], [4.0, 5.0, 6.0]])
  mask = jnp.asarray([[True, True, False], [False, True, True]])
  np.testing.assert_allclose(masked_mean(x, mask, 1), [1.5, 5.5])
  np.testing.assert_allclose(masked_mean(x, mask), 14 / 4)
  np.testing.assert_array_equal(masked_mean(x, jnp.zeros((2, 1)), 1), 0.0)
  gradient = jax.grad(lambda v: masked_mean(v, mask))(x)
  np.testing.assert_allclose(gradient, mask / 4)
