import dataclasses

import jax
import numpy as np
import pytest

from siren_jax import clap
from siren_jax.common.errors import UserError

encode_text = jax.jit(clap.encode_text, static_argnames="config")

IDS = np.array([[1, 5, 9, 7], [1, 8, 0, 0]], np.int32)
MASK = IDS > 0


def test_padding_does_not_matter(config, params):
  tokens, embedding = encode_text(params, config, IDS, MASK)
  garbage = np.where(MASK, IDS, 33)
  wide = np.pad(garbage, ((0, 0), (0, 3)), constant_values=44)
  wide_mask = np.pad(MASK, ((0, 0), (0, 3)))
  tokens_2, embedding_2 = encode_text(params, config, wide, wide_mask)
  np.testing.assert_allclose(tokens_2[:, :4], tokens, atol=1e-5)
  np.testing.assert_allclose(embedding_2, embedding, atol=1e-5)
  assert (tokens_2[~wide_mask] == 0).all()


def test_a_row_of_a_batch_is_that_row_alone(config, params):
  tokens, embedding = encode_text(params, config, IDS, MASK)
  for row in range(2):
    one = slice(row, row + 1)
    alone = encode_text(params, config, IDS[one], MASK[one])
    np.testing.assert_allclose(alone[0], tokens[one], atol=1e-5)
    np.testing.assert_allclose(alone[1], embedding[one], atol=1e-5)


def test_order_and_context_matter(config, params):
  swapped = IDS[:1, [0, 2, 1, 3]]
  tokens, embedding = encode_text(params, config, IDS[:1], MASK[:1])
  other_tokens, other = encode_text(params, config, swapped, MASK[:1])
  assert np.abs(other - embedding).max() > 1e-3
  assert np.abs(other_tokens[:, 3] - tokens[:, 3]).max() > 1e-4


def test_embedding_has_length_one_and_is_affine_in_the_mean(config, params):
  tokens, embedding = encode_text(params, config, IDS, MASK)
  mean = np.stack([np.mean(t[m], 0) for t, m in zip(tokens, MASK, strict=True)])
  project = params["project_text"]
  expected = mean @ project["kernel"] + project["bias"]
  expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
  np.testing.assert_allclose(embedding, expected, atol=1e-5)


def test_an_all_padding_row_is_finite(config, params):
  none = np.zeros((1, 4), bool)
  tokens, embedding = encode_text(params, config, IDS[:1], none)
  assert np.isfinite(tokens).all() and np.isfinite(embedding).all()


def test_parameters_carry_logical_axes(config):
  boxed = jax.eval_shape(lambda k: clap.init(k, config), jax.random.key(0))
  assert boxed["text"]["words"].names == ("vocab", "embed")
  query = boxed["text"]["layer_0"]["attention"]["query"]["kernel"]
  assert query.names == ("embed", "heads")


def test_the_shipped_shape_is_within_three_million():
  shapes = jax.eval_shape(
    lambda k: clap.init(k, clap.ClapConfig()), jax.random.key(0)
  )
  assert sum(x.size for x in jax.tree.leaves(shapes)) <= 3_000_000


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"layers": 0}, "layers=0"),
    ({"width": 30, "heads": 4}, "multiple of heads=4"),
  ],
)
def test_impossible_shapes_are_refused(change, message):
  with pytest.raises(UserError, match=message):
    dataclasses.replace(clap.TextConfig(), **change)
