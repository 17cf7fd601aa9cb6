"""Causality, isolation, masks and sizes of the stacked experts."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts

CONFIG = experts.ExpertConfig(
  dim=16, heads=4, kv_heads=2, temporal_layers=2, depth_layers=1,
  prompt_dim=8, feature_dim=12, num_codebooks=6, num_experts=3,
  codebook_size=16, init_std=0.3,
)  # fmt: skip
FRAMES = 6

_logits = jax.jit(experts.logits, static_argnums=1)


@pytest.fixture(scope="module")
def params():
  key = jax.random.key(0)
  tables = {
    "codebook_NxVx8": jax.random.normal(key, (6, 16, 8)),
    "weight_NxFx8": jax.random.normal(key, (6, 12, 8)),
    "bias_NxF": jax.random.normal(key, (6, 12)),
  }
  init = jax.jit(experts.init, static_argnums=1)
  return nn.unbox(init(jax.random.key(1), CONFIG, tables))


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  return (
    jnp.asarray(rng.integers(0, 16, (2, 6, FRAMES))),
    jnp.asarray(rng.normal(size=(2, 4, 8)), jnp.float32),
    jnp.ones((2, FRAMES), bool),
    jnp.ones((2, 4), bool),
  )


def test_a_code_changes_exactly_the_logits_that_may_depend_on_it(params, batch):
  """Later frames, and higher codebooks of its own frame: no more, no less."""
  codes, *rest = batch
  before = _logits(params, CONFIG, codes, *rest)
  for n, t in ((0, 0), (1, 2), (2, 3), (5, 1), (4, 4)):
    changed = codes.at[0, n, t].set((codes[0, n, t] + 5) % 16)
    after = _logits(params, CONFIG, changed, *rest)
    moved = jnp.abs(after - before).max(-1)
    expected = np.zeros((2, 6, FRAMES), bool)
    expected[0, :, t + 1 :] = True
    expected[0, n + 1 :, t] = True
    np.testing.assert_array_equal(moved > 1e-6, expected)


def test_logits_have_no_gradient_to_later_frames(params, batch):
  """No gradient from a frame's logits to the embeddings of later frames."""
  codes, prompt, frames, mask = batch

  def loss(books, t):
    frozen = params["frozen"]["embedding"] | {"codebook_NxVx8": books}
    tree = {"params": params["params"], "frozen": {"embedding": frozen}}
    return experts.logits(tree, CONFIG, codes, prompt, frames, mask)[
      :, :, t
    ].sum()

  # Every code of this clip is another entry, so entries stand for frames.
  codes = jnp.broadcast_to(jnp.arange(FRAMES), (2, 6, FRAMES))
  books = params["frozen"]["embedding"]["codebook_NxVx8"]
  gradient = jax.jit(jax.grad(loss))
  for t in (0, 2, 4):
    gradient_T = jnp.abs(gradient(books, t)).max((0, 1, 3))
    assert (gradient_T[t + 1 :] == 0).all()
    assert (gradient_T[: t + 1] > 0).all()


def test_the_loss_of_an_expert_has_no_gradient_to_others(params, batch):
  """The gradient of one expert's loss is zero in all others."""

  def loss(trained):
    tree = {"params": trained, "frozen": params["frozen"]}
    return experts.loss(tree, CONFIG, *batch)[1]["ce_codebook_2"]

  grads = jax.jit(jax.grad(loss))(params["params"])
  for path, grad in jax.tree.leaves_with_path(grads):
    assert jnp.abs(grad[jnp.array([0, 2])]).max() == 0, path
  assert jnp.abs(grads["sos"][1]).max() > 0


def test_masked_frames_and_prompts_change_nothing(params, batch):
  codes, prompt, frames, mask = batch
  frames = frames.at[:, 4:].set(False)
  mask = mask.at[:, 3:].set(False)
  first = _logits(params, CONFIG, codes, prompt, frames, mask)
  other = _logits(
    params,
    CONFIG,
    codes.at[..., 4:].set(0),
    prompt.at[:, 3:].set(9.0),
    frames,
    mask,
  )
  np.testing.assert_allclose(first[..., :4, :], other[..., :4, :], atol=1e-5)
  short = _logits(
    params, CONFIG, codes[..., :4], prompt[:, :3], frames[:, :4], mask[:, :3]
  )
  np.testing.assert_allclose(first[..., :4, :], short, atol=1e-5)


@pytest.mark.parametrize(
  "change", [{"expert_loop": "map"}, {"scan_layers": True}, {"remat": True}]
)
def test_ways_to_run_are_one_model(params, batch, change):
  def loss(trained, execution):
    tree = {"params": trained, "frozen": params["frozen"]}
    return experts.loss(tree, CONFIG, *batch, execution=execution)[0]

  plain = experts.Execution(expert_loop="vmap")
  other = dataclasses.replace(plain, **change)
  gradient = jax.jit(jax.value_and_grad(loss), static_argnums=1)
  results = [
    gradient(params["params"], execution) for execution in (plain, other)
  ]
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), *results
  )


def test_logits_are_float32_whatever_the_execution(params, batch):
  for dtype in ("float32", "bfloat16"):
    logits = jax.eval_shape(
      lambda p, *b, dtype=dtype: experts.logits(
        p, CONFIG, *b, execution=experts.Execution(dtype=dtype)
      ),
      params,
      *batch,
    )
    assert logits.dtype == jnp.float32


@pytest.mark.parametrize(
  ("temporal", "depth", "an_expert", "in_all"),
  [(14, 2, 273e6, 1.64e9), (24, 8, 515e6, 3.09e9)],
  ids=["siren_1_6b", "siren_3_1b"],
)
def test_the_full_sizes_have_the_parameters_of_the_paper(
  temporal, depth, an_expert, in_all
):
  config = experts.ExpertConfig(
    dim=1024, heads=16, kv_heads=16, temporal_layers=temporal,
    depth_layers=depth, prompt_dim=768, feature_dim=1024,
    ffn_multiple_of=256,
  )  # fmt: skip
  shapes = jax.eval_shape(
    lambda key: experts.init(key, config), jax.random.key(0)
  )
  count = sum(x.size for x in jax.tree.leaves(nn.unbox(shapes)))
  assert abs(count / 6 - an_expert) < 0.5e6
  assert abs(count - in_all) < 0.005e9
