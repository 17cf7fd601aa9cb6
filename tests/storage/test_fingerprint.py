"""What is not the same has not the same fingerprint."""

import numpy as np

from siren_jax.storage import fingerprint


def test_numbers_differ_behind_the_point():
  values = (0, 0.2, 0.9, np.float64(1.5), 1, np.int64(2))
  elements = {fingerprint.of_element({"x": value}) for value in values}
  assert len(elements) == len(values)
  of = fingerprint.of_element
  assert of({"x": 0.5}) == of({"x": np.float32(0.5)})
  assert of({"x": 2}) == of({"x": np.int32(2)})
