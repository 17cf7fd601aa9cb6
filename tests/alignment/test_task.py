"""The alignment step: what moves, what stays, one device or several."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import sampling
from siren_jax.common import mesh as meshes
from siren_jax.common.errors import UserError
from siren_jax.training import OptimizerConfig, averaged

DEEP = dict(rewards=("my_rewards:deep",), group_size=16)


@functools.cache
def evaluation(task):
  """Tests of one config share this program, too."""
  return jax.jit(task.evaluate)


def run(step, state, batch, steps):
  """State after some steps, and the metrics of each."""
  history = []
  for i in range(steps):
    state, metrics = step(state, batch, jax.random.key(i))
    history.append(jax.device_get(metrics))
  return state, history


def moved(old, new) -> float:
  """The largest change of any parameter."""
  return max(
    jax.tree.leaves(jax.tree.map(lambda a, b: abs(a - b).max(), old, new))
  )


def same(one, other, **options):
  close = (
    np.testing.assert_allclose if options else np.testing.assert_array_equal
  )
  jax.tree.map(lambda a, b: close(a, b, **options), one, other)


def test_the_policy_starts_as_the_experts_it_is_made_of(make, model):
  task, state, _ = make(policy=(1,))
  same(state.params, jax.tree.map(lambda x: x[1:], model.params["params"]))
  same(task.merged(state), model.params)


@pytest.mark.parametrize(
  "advantage",
  [
    pytest.param("group", marks=pytest.mark.optimized),
    pytest.param("leave_one_out", marks=pytest.mark.long),
  ],
)
def test_a_reward_rises(make, batch, advantage):
  """And only the policy moves."""
  task, state, step = make(advantage=advantage)
  after, history = run(step, state, batch, 12)
  evaluate = evaluation(task)
  before, now = (evaluate(s, batch)["reward"] for s in (state, after))
  assert now > before + 0.15
  assert history[0]["entropy"] > history[-1]["entropy"]
  same(after.extra, state.extra)
  whole = task.merged(after)["params"]
  same(
    jax.tree.map(lambda x: x[1:], whole),
    jax.tree.map(lambda x: x[1:], state.extra["experts"]["params"]),
  )
  assert moved(state.params, after.params) > 0


@pytest.mark.long
def test_the_averaged_policy_is_what_is_kept(make, batch):
  """Rollouts are drawn by the newest one all the same."""
  _, plain, step = make()
  task, state, averaging = make(ema_decay=0.75)
  old, ema = state.params, state.ema
  for i in range(2):
    plain, plain_metrics = step(plain, batch, jax.random.key(i))
    state, metrics = averaging(state, batch, jax.random.key(i))
    assert metrics["reward"] == plain_metrics["reward"]
    ema = averaged(ema, state.params, 0.75, i)
    state, plain = (s.replace(step=s.step + 1) for s in (state, plain))
  same(state.params, plain.params)
  same(state.ema, ema, atol=1e-6)
  assert moved(old, state.ema) > 0 < moved(state.ema, state.params)
  evaluate = evaluation(task)
  expected = evaluate(state.replace(params=state.ema), batch)
  same(evaluate(state, batch), expected)


@pytest.mark.long
def test_only_what_is_tuned_moves(make, batch):
  _, state, step = make(tuned=("summary", "scale"))
  after, _ = run(step, state, batch, 1)
  still = jax.tree.map(
    lambda a, b: bool((a == b).all()), state.params, after.params
  )
  for path, stays in jax.tree_util.tree_leaves_with_path(still):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    assert stays != ("summary" in name or "scale" in name), name


@pytest.mark.long
def test_coarse_experts_learn_from_a_reward_of_deeper_codes(make, batch):
  """Coarse experts learn from a reward that sees deeper codes alone."""
  task, state, step = make(**DEEP)
  after, _ = run(step, state, batch, 12)
  evaluate = evaluation(task)
  before, now = (evaluate(s, batch)["reward"] for s in (state, after))
  assert now > before + 0.01


@pytest.mark.long
def test_constant_rewards_change_no_parameter(make, batch):
  names = ("my_rewards:constant", "my_rewards:broken")
  _, state, step = make(rewards=names, weights=(1.0, 1.0))
  after, history = run(step, state, batch, 2)
  assert moved(state.params, after.params) == 0
  assert abs(history[-1]["kl"]) < 1e-9


@pytest.mark.long
def test_a_broken_reward_does_not_poison_another(make, batch):
  _, state, step = make()
  names = ("my_rewards:low", "my_rewards:broken")
  _, _, step_with_both = make(rewards=names, weights=(1.0, 1.0))
  state_of_one, _ = step(state, batch, jax.random.key(0))
  state_of_both, metrics = step_with_both(state, batch, jax.random.key(0))
  same(state_of_both.params, state_of_one.params)
  assert np.isfinite(metrics["reward"])


@pytest.mark.long
def test_the_reference_holds_the_policy_back(make, batch):
  _, state, free = make()
  _, _, held = make(kl=1000.0)
  _, far = run(free, state, batch, 6)
  _, near = run(held, state, batch, 6)
  assert near[-1]["kl"] < 0.1 * far[-1]["kl"]


@pytest.mark.long
@pytest.mark.parametrize(
  ("dtype", "mean", "most"),
  [("float32", 1e-5, 1e-4), ("bfloat16", 0.03, 0.5)],
)
def test_one_minibatch_has_ratios_of_one_in_any_precision(
  make, batch, dtype, mean, most
):
  """However sampler and scorer differ, which is what the metrics say."""
  _, state, step = make(minibatches=1, dtype=dtype)
  _, metrics = step(state, batch, jax.random.key(0))
  # -mean(ratio * advantage): advantages have a mean of 0.
  assert abs(metrics["loss"]) < 1e-6
  assert metrics["clip_fraction"] == 0 < metrics["grad_norm"]
  assert 0 < metrics["log_prob_mismatch_mean"] < mean
  assert metrics["log_prob_mismatch_mean"] < metrics["log_prob_mismatch_max"]
  assert metrics["log_prob_mismatch_max"] < most


@pytest.mark.long
def test_the_mismatch_is_that_before_any_update(make, batch):
  """The second of two minibatches meets a policy that has moved."""
  optimizer = OptimizerConfig(
    learning_rate=1.0, warmup_steps=0, final_fraction=1.0, weight_decay=0.0
  )
  _, state, step = make(optimizer)
  _, metrics = step(state, batch, jax.random.key(0))
  assert metrics["clip_fraction"] > 0.1
  assert 0 < metrics["log_prob_mismatch_max"] < 1e-4


@pytest.mark.long
@pytest.mark.parametrize(
  "sizes",
  [
    pytest.param(dict(data=1), marks=pytest.mark.slow),
    dict(data=2, expert=2, fsdp=2),
  ],
  ids=str,
)
def test_a_reward_on_the_host_is_as_good_as_one_on_a_device(make, batch, sizes):
  """Rollouts, then the host, then the update: what one program does."""
  names = "my_rewards:low", "my_rewards:low_on_host"
  on_device, on_host = (make(rewards=(name,))[0] for name in names)
  assert on_device.measure is None
  mesh, state, shardings = _placed(on_host, make()[1], **sizes)
  with jax.set_mesh(mesh):
    rows = jax.device_put(jax.device_get(batch), meshes.batch_sharding(mesh))
    steps = []
    for task in (on_device, on_host):
      step = jax.jit(task.step, out_shardings=(shardings, None))
      evaluate = jax.jit(task.evaluate)
      rolled = evaluated = rows
      if task.measure:
        rollout = jax.jit(
          task.rollout, out_shardings=meshes.batch_sharding(mesh)
        )
        rolled = task.measure(rollout(state, rows, jax.random.key(0)))
        evaluated = task.measure(rollout(state, rows, None))
      lowered = step.lower(state, rolled, jax.random.key(0))
      assert "callback" not in lowered.as_text()
      after, metrics = lowered.compile()(state, rolled, jax.random.key(0))
      steps.append((after.params, metrics, evaluate(state, evaluated)))
  (one, *ours), (other, *theirs) = jax.device_get(steps)
  same(one, other, atol=1e-5)
  for metrics, expected in zip(ours, theirs, strict=True):
    assert metrics.pop("reward_my_rewards:low") == pytest.approx(
      expected.pop("reward_my_rewards:low_on_host")
    )
    same(metrics, expected, atol=1e-5)


@pytest.mark.long
def test_a_policy_that_is_the_reference_has_no_divergence(make, batch):
  _, state, step = make(minibatches=1, kl=0.1)
  _, metrics = step(state, batch, jax.random.key(0))
  assert abs(metrics["kl"]) < 1e-9
  assert metrics["clip_fraction"] == 0


def test_evaluation_is_the_same_every_time(make, batch):
  task, state, _ = make(rewards=("clap", "deep_likelihood"), weights=(1.0, 2.0))
  first, second = (evaluation(task)(state, batch) for _ in range(2))
  same(first, second)
  parts = first["reward_clap"] + 2 * first["reward_deep_likelihood"]
  np.testing.assert_allclose(first["reward"], parts, rtol=1e-5)
  assert 0 < first["diversity"] < 2


@pytest.mark.long
def test_no_two_batches_of_an_evaluation_share_their_randomness(make, batch):
  task, state, _ = make(**DEEP)
  evaluate = evaluation(task)
  first = evaluate(state, batch)
  second = evaluate(state, batch | {"place_B": batch["place_B"] + 4})
  assert first["diversity"] != second["diversity"]


@pytest.fixture(scope="module")
def plain(make, batch):
  """Task, first state; state and metrics after a step by one device."""
  # CLAP's random weights hardly tell clips apart: at a greater weight, what is
  # rounding in its rewards would be seen in the gradients.
  task, state, step = make(
    OptimizerConfig(learning_rate=3e-4, warmup_steps=0),  # As in real runs.
    rewards=("clap", "my_rewards:low"), weights=(1e-3, 1.0),
    sampling=sampling.SamplingConfig(guidance=2.0), kl=0.1,
  )  # fmt: skip
  return task, *jax.device_get((state, *step(state, batch, jax.random.key(0))))


def _placed(task, state, **sizes):
  """A mesh, the state over it, and how that is cut."""
  count = math.prod(sizes.values())
  config = meshes.MeshConfig(**{"data": 1, **sizes})
  mesh = meshes.make_mesh(config, jax.devices()[:count])
  shardings = meshes.state_shardings(
    jax.eval_shape(task.init, jax.random.key(0), *task.init_args), mesh
  )
  return mesh, jax.device_put(state, shardings), shardings


@pytest.mark.parametrize(
  "sizes",
  [
    pytest.param(dict(data=4), marks=pytest.mark.slow),
    pytest.param(dict(expert=2), marks=pytest.mark.slow),
    pytest.param(dict(model=2), marks=pytest.mark.slow),
    pytest.param(dict(data=2, expert=2, fsdp=2), marks=pytest.mark.long),
  ],
  ids=str,
)
def test_a_mesh_does_what_one_device_does(plain, batch, sizes):
  task, state, expected, metrics = plain
  mesh, state, shardings = _placed(task, state, **sizes)
  with jax.set_mesh(mesh):
    step = jax.jit(task.step, out_shardings=(shardings, None))
    rows = jax.device_put(jax.device_get(batch), meshes.batch_sharding(mesh))
    after, actual = jax.device_get(step(state, rows, jax.random.key(0)))
  same(actual, metrics, atol=1e-5, rtol=1e-5)
  moments, reference = after.opt_state[1][0].mu, expected.opt_state[1][0].mu
  same(moments, reference, atol=1e-6)
  # Of a gradient that is rounding, Adam makes whole steps in any direction.
  jax.tree.map(
    lambda a, b, by: same(np.where(np.abs(by) > 1e-5, a, b), b, atol=1e-5),
    after.params, expected.params, reference,
  )  # fmt: skip


@pytest.mark.long
def test_what_is_gathered_is_whole(plain):
  task, _, state, _ = plain
  mesh, spread, _ = _placed(task, state, expert=2, fsdp=2, model=2)
  policy = spread.params["temporal"]["ffn"]["gate"]
  stack = spread.extra["experts"]["params"]["temporal"]["ffn"]["gate"]
  assert tuple(policy.sharding.spec) == (None, None, "fsdp", "model")
  assert tuple(stack.sharding.spec) == ("expert", None, "fsdp", "model")
  with jax.set_mesh(mesh):
    whole = task.gathered(spread)
  same(whole, jax.device_get(jax.jit(task.merged)(state)))
  zeros = jax.tree.map(np.zeros_like, jax.device_get(spread.params))
  ema = jax.device_put(zeros, jax.tree.map(lambda x: x.sharding, spread.params))
  with jax.set_mesh(mesh):
    averaged_out = task.gathered(spread.replace(ema=ema))
  chosen = jnp.array(task.config.policy)
  tuned = jax.tree.map(lambda x: x[chosen], averaged_out["params"])
  same(tuned, zeros)


@pytest.mark.parametrize(
  "changes, message",
  [
    (dict(policy=(2,)), "experts 0 to 1"),
    (dict(policy=(0, 1), rewards=("deep_likelihood",)), "no deeper experts"),
    (dict(rewards=("verifiable",)), "data.synthetic"),
    (dict(policy=()), "policy"),
    (dict(tuned=("sumary",)), "sumary"),
    (dict(policy=(1, 0)), "in order"),
    (dict(weights=(1.0, 2.0)), "one for each"),
    (dict(group_size=1), "at least 2"),
    (dict(advantage="best"), "leave_one_out"),
    (dict(sampling=sampling.SamplingConfig(top_k=5)), "top_k"),
    (dict(clip_low=0.0), "clip_low"),
    (dict(kl=-1.0), "kl"),
  ],
)
def test_settings_that_make_no_sense(make, changes, message):
  with pytest.raises(UserError, match=message):
    make(**changes)


def test_sounds_are_the_first_of_each_prompt(make, batch):
  """The same ones whether the rollouts of all are there already or not."""
  task, state, _ = make()
  make_sounds = jax.jit(task.sounds.make, static_argnums=2)
  rolled = jax.jit(task.rollout)(state, batch, None)
  sounds = [make_sounds(state, b, 2)["generated"] for b in (batch, rolled)]
  group = task.config.group_size
  np.testing.assert_array_equal(
    sounds[1], rolled["audio_BxS"][: 2 * group : group]
  )
  np.testing.assert_allclose(sounds[0], sounds[1], atol=1e-4)
