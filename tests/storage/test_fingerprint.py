"""What is not the same has not the same fingerprint."""

import hashlib

import ml_dtypes
import numpy as np

from siren_jax.storage import fingerprint


def test_numbers_differ_behind_the_point():
  values = (0, 0.2, 0.9, np.float64(1.5), 1, np.int64(2))
  elements = {fingerprint.of_element({"x": value}) for value in values}
  assert len(elements) == len(values)
  of = fingerprint.of_element
  assert of({"x": 0.5}) == of({"x": np.float32(0.5)})
  assert of({"x": 2}) == of({"x": np.int32(2)})


def test_arrays_have_the_fingerprint_of_their_bytes():
  array = np.arange(6.0).reshape(2, 3)
  expected = hashlib.sha256(b'["x", "float64", [3, 2]]')
  expected.update(np.ascontiguousarray(array.T))
  assert fingerprint.of_element({"x": array.T}) == expected.hexdigest()


def test_bfloat16_arrays_have_one_too():
  zeros, ones = np.zeros(3, ml_dtypes.bfloat16), np.ones(3, ml_dtypes.bfloat16)
  of = fingerprint.of_element
  assert of({"x": zeros}) == of({"x": zeros.copy()})
  assert of({"x": zeros}) != of({"x": ones})
  assert of({"x": zeros}) != of({"x": zeros.astype(np.float16)})
