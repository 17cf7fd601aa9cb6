"""One rule says where windows begin, whatever was drawn or given before."""

import itertools

import numpy as np
import pytest

from siren_jax.sampling import SamplingConfig, prepare, prepare_weights, sample
from siren_jax.sampling.windows import Window, draw, windows

LENGTH, TOTAL = 12, 27
METHOD = SamplingConfig(guidance=2.0)


def test_the_last_half_of_a_full_window_begins_the_next():
  assert list(windows(12, 0, 5)) == [Window(0, 0, 5)]
  assert list(windows(12, 0, 12)) == [Window(0, 0, 12)]
  assert list(windows(12, 0, 25)) == [
    Window(0, 0, 12),
    Window(6, 12, 18),
    Window(12, 18, 24),
    Window(18, 24, 25),
  ]
  assert list(windows(12, 5, 5)) == []
  endless = itertools.islice(windows(12, 3, None), 3)
  assert list(endless) == list(windows(12, 3, 24))


@pytest.mark.parametrize("length", [2, 5, 12])
@pytest.mark.parametrize("begin", range(40))
def test_windows_do_not_depend_on_the_prefix(length, begin):
  whole = {
    t: window.first
    for window in windows(length, 0, 60)
    for t in range(window.begin, window.end)
  }
  later = {
    t: window.first
    for window in windows(length, begin, 60)
    for t in range(window.begin, window.end)
  }
  assert later == {t: first for t, first in whole.items() if t >= begin}
  for window in windows(length, begin, 60):
    assert window.first <= window.begin < window.end <= window.first + length


@pytest.fixture(scope="module")
def prompted(model, prompt):
  config, params = model
  return prepare(prepare_weights(params, config), METHOD, *prompt)


def _draw(prompted, keys, prefix_BxNxT):
  """Codes of `TOTAL` frames of which some are known."""
  for window in windows(LENGTH, prefix_BxNxT.shape[2], TOTAL):
    for samples in draw(prompted, keys, LENGTH, window, prefix_BxNxT):
      prefix_BxNxT = np.concatenate([prefix_BxNxT, samples.codes_BxNxT], 2)
  return prefix_BxNxT


@pytest.fixture(scope="module")
def whole(prompted, keys):
  return _draw(prompted, keys, np.zeros((3, 4, 0), np.int32))


def test_the_first_window_is_the_sample(model, prompt, keys, whole):
  config, params = model
  samples = sample(params, config, METHOD, *prompt, keys, LENGTH)
  np.testing.assert_array_equal(whole[..., :LENGTH], samples.codes_BxNxT)


@pytest.mark.parametrize("known", [1, 9, 10, 11, 12, 13, 17, 18, 19, 26])
def test_continuing_a_prefix_equals_sampling_from_the_start(
  prompted, keys, whole, known
):
  np.testing.assert_array_equal(
    _draw(prompted, keys, whole[..., :known]), whole
  )


def test_no_length_compiles_anything(prompted, keys, whole, compilations):
  compilations.clear()
  for known in (3, 14):
    _draw(prompted, keys, whole[..., :known])
  assert not compilations
