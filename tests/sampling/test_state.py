"""A state says all there is to know: it can be kept, taken and continued."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import experts
from siren_jax.common import mesh as meshes
from siren_jax.sampling import (
  Kept,
  SamplingConfig,
  advance,
  prefill,
  prepare,
  prepare_weights,
  sample,
  start,
)

CAPACITY, GIVEN = 11, 6
METHODS = {
  "plain": SamplingConfig(),
  "guided": SamplingConfig(guidance=2.0, top_k=9),
}


@pytest.fixture(scope="module", params=METHODS)
def method(request):
  return METHODS[request.param]


@pytest.fixture(scope="module")
def codes():
  return jax.random.randint(jax.random.key(4), (3, 4, GIVEN), 0, 16)


def _prompted(model, prompt, method, rows=3, dtype="float32"):
  config, params = model
  weights = prepare_weights(params, config, experts.Execution(dtype=dtype))
  return prepare(weights, method, *(x[:rows] for x in prompt))


def _assert_same_state(one, other, atol):
  """All that will be read: frames that are kept, and the next input."""
  assert one.frame == other.frame
  assert one.position == other.position
  np.testing.assert_allclose(one.x_KxIxBxD, other.x_KxIxBxD, atol=atol)

  def kept(state):
    blocks = [
      jnp.concatenate([x[..., :-1, :] for x in side], -2)
      for layer in state.caches
      for side in zip(*layer, strict=True)
    ]
    return np.asarray(jnp.stack(blocks)[..., : int(state.position), :])

  assert kept(one).std() > 0.1
  np.testing.assert_allclose(kept(one), kept(other), atol=atol)


def _step_by_step(prompted, codes, keys, frames):
  """The state after so many given frames, one by one."""
  state = start(prompted, CAPACITY)
  for t in range(frames):
    kept = Kept(codes[..., t : t + 1], np.int32(codes.shape[1]))
    state, _ = advance(prompted, state, keys, kept, num_frames=1)
  return state


@pytest.mark.parametrize(
  ("rows", "dtype", "atol"),
  [
    (1, "float32", 1e-5),
    pytest.param(3, "float32", 1e-5, marks=pytest.mark.long),
    pytest.param(3, "bfloat16", 0.15, marks=pytest.mark.long),
  ],
)
def test_prefill_is_step_by_step(
  model, prompt, keys, codes, method, rows, dtype, atol
):
  prompted = _prompted(model, prompt, method, rows, dtype)
  codes, keys = codes[:rows], keys[:rows]
  stepped = _step_by_step(prompted, codes, keys, GIVEN)
  filled = prefill(prompted, start(prompted, CAPACITY), codes)
  _assert_same_state(filled, stepped, atol)
  if dtype == "float32":
    nexts = [
      advance(prompted, s, keys, num_frames=5) for s in (filled, stepped)
    ]
    (_, one), (_, other) = nexts
    np.testing.assert_array_equal(one.codes_BxNxT, other.codes_BxNxT)
    np.testing.assert_allclose(
      one.log_probs_BxNxT, other.log_probs_BxNxT, atol=1e-5
    )


@pytest.mark.parametrize("frames", [0, 1, GIVEN - 1])
def test_only_frames_that_count_are_prefilled(
  model, prompt, keys, codes, method, frames
):
  prompted = _prompted(model, prompt, method)
  filled = prefill(prompted, start(prompted, CAPACITY), codes, frames)
  stepped = _step_by_step(prompted, codes, keys, frames)
  assert filled.position == frames
  np.testing.assert_allclose(filled.x_KxIxBxD, stepped.x_KxIxBxD, atol=1e-5)
  drawn = (advance(prompted, s, keys, num_frames=5) for s in (filled, stepped))
  (_, one), (_, other) = drawn
  np.testing.assert_array_equal(one.codes_BxNxT, other.codes_BxNxT)


@pytest.mark.parametrize("chunk", [1, 4])
def test_chunks_are_the_whole(model, prompt, keys, method, chunk):
  config, params = model
  whole = sample(params, config, method, *prompt, keys, CAPACITY)
  prompted = _prompted(model, prompt, method)
  state, parts = start(prompted, CAPACITY), []
  while sum(p.codes_BxNxT.shape[2] for p in parts) < CAPACITY:
    state, samples = advance(prompted, state, keys, num_frames=chunk)
    parts.append(samples)
  codes = np.concatenate([p.codes_BxNxT for p in parts], 2)[..., :CAPACITY]
  np.testing.assert_array_equal(codes, whole.codes_BxNxT)


def test_a_tree_of_taken_rows_is_its_replays(model, prompt, keys, method):
  """Three times three frames; before each, rows are taken as in a beam."""
  prompted = _prompted(model, prompt, method)
  state, beams = start(prompted, CAPACITY), np.zeros((3, 4, 0), np.int32)
  origin = np.arange(3)
  for taken in ([0, 1, 2], [2, 0, 2], [1, 1, 0]):
    rows = np.array(taken)
    state, beams, origin = state.take(rows), beams[rows], origin[rows]
    of_rows = prompted.take(origin)
    state, samples = advance(of_rows, state, keys, num_frames=3)
    beams = np.concatenate([beams, samples.codes_BxNxT], 2)
  assert len({beam.tobytes() for beam in beams}) == 3
  of_rows = prompted.take(origin)
  before = prefill(of_rows, start(of_rows, CAPACITY), beams[..., :6])
  _, replayed = advance(of_rows, before, keys, num_frames=3)
  np.testing.assert_array_equal(replayed.codes_BxNxT, beams[..., 6:])


def test_kept_codebooks_are_given_and_the_rest_is_drawn(
  model, prompt, keys, codes, method
):
  prompted = _prompted(model, prompt, method)
  kept = Kept(codes, np.int32(2))
  state = start(prompted, CAPACITY)
  _, samples = advance(prompted, state, keys, kept, num_frames=GIVEN)
  np.testing.assert_array_equal(samples.codes_BxNxT[:, :2], codes[:, :2])
  assert (samples.codes_BxNxT[:, 2:] != codes[:, 2:]).mean() > 0.5
  state = start(prompted, CAPACITY)
  none = Kept(codes, np.int32(0))
  _, free = advance(prompted, state, keys, none, num_frames=GIVEN)
  state = start(prompted, CAPACITY)
  _, drawn = advance(prompted, state, keys, num_frames=GIVEN)
  np.testing.assert_array_equal(free.codes_BxNxT, drawn.codes_BxNxT)


@pytest.mark.long
@pytest.mark.parametrize(
  "sizes", [dict(data=8), dict(data=2, expert=2, model=2)], ids=str
)
def test_eight_devices_are_one(model, prompt, keys, codes, sizes):
  """Prepared, prefilled and drawn over a mesh: of nine rows, and of one."""
  config, params = model
  method = METHODS["guided"]
  boxed = jax.eval_shape(
    lambda key: experts.init(key, config), jax.random.key(0)
  )
  mesh = meshes.make_mesh(meshes.MeshConfig(**sizes), jax.devices()[:8])
  shardings = meshes.state_shardings(boxed, mesh)

  def draw(params, codes, keys, *prompt):
    weights = prepare_weights(params, config)
    prompted = prepare(weights, method, *prompt)
    state = prefill(prompted, start(prompted, CAPACITY), codes)
    return advance(prompted, state, keys, num_frames=4)[1].codes_BxNxT

  for rows in (9, 1):
    index = np.arange(rows) % 3
    other_keys = jax.vmap(jax.random.fold_in)(keys[index], np.arange(rows))
    given = codes[index], other_keys, *(x[index] for x in prompt)
    alone = draw(params, *given)
    with jax.set_mesh(mesh):
      spread = draw(jax.device_put(params, shardings), *given)
    np.testing.assert_array_equal(spread, alone)
