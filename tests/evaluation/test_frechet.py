"""Fréchet distances: scipy's formula, known Gaussians, and the bias."""

import numpy as np
import pytest
import scipy.linalg

from siren_jax.common.errors import UserError
from siren_jax.evaluation.frechet import (
  frechet_distance,
  frechet_extrapolated,
)


def _draw(count, width, seed, scale=1.0, shift=0.0):
  rng = np.random.default_rng(seed)
  mix = np.random.default_rng(99).normal(size=(width, width)) / width**0.5
  return scale * rng.normal(size=(count, width)) @ mix + shift


def _by_scipy(a, b):
  root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))
  means = a.mean(0) - b.mean(0)
  traces = np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False))
  return means @ means + traces - 2 * np.trace(root.real)


@pytest.mark.parametrize("counts", [(200, 150), (40, 300)])
def test_equals_the_formula_with_a_matrix_root(counts):
  a, b = _draw(counts[0], 24, 0), _draw(counts[1], 24, 1, 1.3, 0.2)
  np.testing.assert_allclose(frechet_distance(a, b), _by_scipy(a, b), rtol=1e-6)


def test_fewer_embeddings_than_dimensions():
  """The root of eigenvalues, which a rank-deficient product still has."""
  a, b = _draw(20, 64, 0), _draw(30, 64, 1, 1.5)
  product = np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)
  roots = np.sqrt(np.maximum(np.linalg.eigvals(product).real, 0)).sum()
  means = a.mean(0) - b.mean(0)
  traces = a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum()
  np.testing.assert_allclose(
    frechet_distance(a, b), means @ means + traces - 2 * roots, rtol=1e-6
  )


def test_of_one_dimension_is_that_of_mean_and_deviation():
  a, b = np.array([[0.0], [2.0]]), np.array([[5.0], [5.0], [8.0], [8.0]])
  expected = (1 - 6.5) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
  np.testing.assert_allclose(frechet_distance(a, b), expected)


def test_equal_sets_have_distance_zero_and_order_does_not_matter():
  a, b = _draw(50, 16, 0), _draw(60, 16, 1, 2.0)
  assert frechet_distance(a, a) < 1e-10
  np.testing.assert_allclose(frechet_distance(a, b), frechet_distance(b, a))
  np.testing.assert_allclose(
    frechet_distance(a, b), frechet_distance(a[::-1], b)
  )


def test_extrapolation_takes_the_bias_away():
  """Same distribution, few draws: the plain distance is far from nought."""
  reference = _draw(4000, 16, 0)
  plain, extrapolated = zip(
    *(
      (
        frechet_distance(reference, other),
        frechet_extrapolated(reference, other, seed),
      )
      for seed in range(8)
      for other in [_draw(100, 16, 100 + seed)]
    )
  )
  assert np.mean(plain) > 0.3
  assert abs(np.mean(extrapolated)) < 0.35 * np.mean(plain)


def test_windows_of_a_clip_are_no_draws_of_their_own():
  """They resemble each other, which does not leave a bias behind."""
  reference = _draw(4000, 16, 0)
  plain, extrapolated = [], []
  for seed in range(8):
    clip_Bx1xD = _draw(60, 16, 100 + seed)[:, None]
    window_BxWxD = _draw(300, 16, 200 + seed).reshape(60, 5, 16)
    clips = 0.9**0.5 * clip_Bx1xD + 0.1**0.5 * window_BxWxD
    plain.append(frechet_distance(reference, np.concatenate(clips)))
    extrapolated.append(frechet_extrapolated(reference, clips, seed))
  assert np.mean(plain) > 0.8
  assert abs(np.mean(extrapolated)) < 0.2 * np.mean(plain)


@pytest.mark.parametrize(
  "bad", [np.zeros((1, 4)), np.zeros(4), np.array([[np.nan], [1.0]])]
)
def test_bad_embeddings_are_refused(bad):
  with pytest.raises(UserError, match="embeddings"):
    frechet_distance(np.zeros((5, 4)), bad)
