"""Inception score and KL against cases worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from siren_jax.common.errors import UserError
from siren_jax.evaluation.divergence import (
  inception_score,
  kl_divergence,
  probabilities,
)


def test_probabilities_are_softmax_or_sigmoid_of_logits():
  logits = np.array([[0.0, np.log(3)], [1000.0, 0.0]])
  np.testing.assert_allclose(
    probabilities(logits), [[0.25, 0.75], [1.0, 0.0]], atol=1e-12
  )
  np.testing.assert_allclose(
    probabilities(logits[:1], "sigmoid"), [[0.5, 0.75]]
  )
  with pytest.raises(ValueError, match="softmax or sigmoid"):
    probabilities(logits, "argmax")


def test_score_of_sure_and_even_clips_is_the_number_of_classes():
  probs = np.tile(np.eye(4), (10, 1))
  mean, deviation = inception_score(probs)
  np.testing.assert_allclose([mean, deviation], [4.0, 0.0], rtol=1e-4)
  same, _ = inception_score(np.full((40, 4), 0.25))
  np.testing.assert_allclose(same, 1.0)
  one_class, _ = inception_score(np.tile(np.eye(4)[:1], (40, 1)))
  np.testing.assert_allclose(one_class, 1.0)


def test_kl_is_scipys():
  rng = np.random.default_rng(0)
  target, generated = probabilities(rng.normal(size=(2, 6, 9)))
  expected = [stats.entropy(p, q) for p, q in zip(target, generated)]
  np.testing.assert_allclose(
    kl_divergence(target, generated), expected, rtol=1e-3
  )
  np.testing.assert_array_equal(kl_divergence(target, target), np.zeros(6))


def test_shuffled_pairs_are_worse():
  rng = np.random.default_rng(0)
  logits = 5 * rng.normal(size=(50, 9))
  target = probabilities(logits)
  near = probabilities(logits + rng.normal(size=logits.shape))
  paired = kl_divergence(target, near).mean()
  assert paired < 0.5 * kl_divergence(target, near[::-1]).mean()


def test_classes_that_cannot_be_and_a_single_one():
  logits = np.array([[0.0, -np.inf], [-np.inf, 3.0]])
  for kind in ("softmax", "sigmoid"):
    probs = probabilities(logits, kind)
    assert probs[0, 1] == probs[1, 0] == 0
    assert np.isfinite(kl_divergence(probs, probs[::-1])).all()
  one = probabilities(np.array([[-5.0], [7.0]]))
  np.testing.assert_array_equal(one, np.ones((2, 1)))
  np.testing.assert_array_equal(kl_divergence(one, one), np.zeros(2))
  assert inception_score(one) == (1.0, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_logits_that_are_no_numbers_are_refused(bad, kind):
  with pytest.raises(UserError, match="not finite"):
    probabilities(np.array([[0.0, bad], [0.0, 0.0]]), kind)
  with pytest.raises(UserError, match="not finite"):
    probabilities(np.full((1, 2), -np.inf), kind)


def test_pairs_of_other_shapes_are_refused():
  with pytest.raises(UserError, match="shapes must match"):
    kl_divergence(np.full((3, 2), 0.5), np.full((1, 2), 0.5))
