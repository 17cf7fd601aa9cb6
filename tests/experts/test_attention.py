"""Attention's own derivative and its blocks, against plain softmax."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.common import tuning
from siren_jax.experts import attention
from siren_jax.experts.attention import (
  NEGATIVE,
  QUERY_BLOCK,
  attend,
  attend_to_past,
  causal_mask,
)

BATCH, HEADS, REPEATS, DIM = 2, 2, 3, 4


def plain(q, k, v, mask):
  """Softmax attention as the textbook has it, all at once."""
  scores = jnp.einsum("btgrh,bsgh->bgrts", q, k) / jnp.sqrt(q.shape[-1])
  scores = jnp.where(mask[:, None, None], scores, NEGATIVE)
  return jnp.einsum("bgrts,bsgh->btgrh", jax.nn.softmax(scores), v)


def inputs(queries, keys, dtype=jnp.float32, dim=DIM):
  """q, k, v and the gradient of what comes out."""
  shapes = (
    (BATCH, queries, HEADS, REPEATS, dim),
    (BATCH, keys, HEADS, dim),
    (BATCH, keys, HEADS, dim),
    (BATCH, queries, HEADS, REPEATS, dim),
  )
  keys = jax.random.split(jax.random.key(0), len(shapes))
  draw = jax.random.normal
  return [draw(k, s).astype(dtype) for k, s in zip(keys, shapes, strict=True)]


def outputs_and_gradients(function, q, k, v, mask, d_out):
  out, pull = jax.vjp(lambda *x: function(*x, mask), q, k, v)
  return out, *pull(d_out.astype(out.dtype))


def assert_alike(function, q, k, v, d_out, mask, tolerance):
  ours = outputs_and_gradients(function, q, k, v, mask, d_out)
  wide = (x.astype(jnp.float32) for x in (q, k, v))
  theirs = outputs_and_gradients(plain, *wide, mask, d_out)
  for mine, other in zip(ours, theirs, strict=True):
    assert mine.dtype == q.dtype
    np.testing.assert_allclose(
      mine.astype(jnp.float32), other, atol=tolerance, rtol=tolerance
    )


@pytest.mark.parametrize("length", [1, QUERY_BLOCK, 2 * QUERY_BLOCK + 7])
def test_blocks_equal_the_whole(length):
  q, k, v, d_out = inputs(length, length)
  frames = jnp.arange(length) < jnp.array([[length], [length // 2 + 1]])
  mask = causal_mask(frames)
  assert_alike(attend_to_past, q, k, v, d_out, mask, 2e-5)


def test_one_mask_for_all_queries():
  q, k, v, d_out = inputs(9, 5)
  mask = (jnp.arange(5) < jnp.array([[5], [2]]))[:, None]
  assert_alike(attend, q, k, v, d_out, mask, 1e-5)


def test_all_keys_masked_is_their_mean():
  q, k, v, d_out = inputs(3, 5)
  mask = jnp.zeros((BATCH, 1, 5), bool)
  out, *gradients = outputs_and_gradients(attend, q, k, v, mask, d_out)
  mean = jnp.broadcast_to(v.mean(1)[:, None, :, None], out.shape)
  np.testing.assert_allclose(out, mean, atol=1e-6)
  assert all(jnp.isfinite(g).all() for g in gradients)


def test_half_precision_stays_near():
  q, k, v, d_out = inputs(20, 20, jnp.bfloat16)
  mask = causal_mask(jnp.ones((BATCH, 20), bool))
  assert_alike(attend_to_past, q, k, v, d_out, mask, 5e-2)


@pytest.mark.parametrize(
  "of_device", [False, pytest.param(True, marks=pytest.mark.gpu)]
)
def test_a_library_has_the_same_heads_masks_and_scale(of_device, monkeypatch):
  implementation = of_device and tuning.current().attention or "xla"
  tuned = dataclasses.replace(tuning.current(), attention=implementation)
  monkeypatch.setattr(tuning, "current", lambda: tuned)
  monkeypatch.setattr(attention, "attend", None)  # not ours
  q, k, v, d_out = inputs(20, 20, jnp.bfloat16, dim=8)
  frames = jnp.arange(20) < jnp.array([[20], [11]])
  assert_alike(attend_to_past, q, k, v, d_out, causal_mask(frames), 5e-2)
