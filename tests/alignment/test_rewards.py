"""Rewards of rollouts made by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax.alignment import claims, rewards
from siren_jax.common.errors import UserError
from siren_jax.data.synthetic import sounds as synthetic

RATE = 16000


@pytest.fixture(scope="module")
def rollout():
  sounds = list(synthetic.make_set(8, 0, RATE, 1.0))
  audio = jax.random.normal(jax.random.key(0), (8, 4))
  return rewards.Rollout(
    codes_BxNxT=jnp.zeros((8, 3, 2), jnp.int32),
    log_probs_BxNxT=-jnp.arange(48.0).reshape(8, 3, 2),
    deep_N=np.array([False, True, True]),
    audio_BxS=jnp.stack([s.audio_S for s in sounds]),
    text_BxE=jnp.repeat(jnp.eye(4)[:2], 4, axis=0),
    audio_BxE=audio / jnp.linalg.norm(audio, axis=1, keepdims=True),
    truth_B=jnp.array([0, 1, 2, 3, 4, 5, 6, -1]),
    truths=tuple(s.truth for s in sounds),
    sample_rate=RATE,
    group_size=4,
  )


def test_clap_is_the_cosine(rollout):
  reward = rewards.clap(rollout)
  own = [rollout.audio_BxE[:4, 0], rollout.audio_BxE[4:, 1]]
  np.testing.assert_allclose(reward, np.concatenate(own), atol=1e-6)


def test_contrast_is_the_choice_among_the_prompts(rollout):
  reward = rewards.contrast(rollout)
  apart = rollout.audio_BxE[:, 0] - rollout.audio_BxE[:, 1]
  apart = np.where(np.arange(8) < 4, apart, -apart)
  np.testing.assert_allclose(reward, -np.log1p(np.exp(-10 * apart)), atol=1e-5)


def test_novelty_is_the_distance_from_the_others(rollout):
  reward = rewards.novelty(rollout)
  audio = np.asarray(rollout.audio_BxE)
  third = [1 - audio[6] @ audio[i] for i in (4, 5, 7)]
  np.testing.assert_allclose(reward[6], np.mean(third), atol=1e-6)


def test_diversity_is_the_mean_novelty_over_pairs(rollout):
  same = jnp.array([[1.0, 0], [1, 0], [1, 0]])
  apart = jnp.array([[1.0, 0], [0, 1], [-1, 0]])  # 1 - cosine: 1, 2, 1
  both = dataclasses.replace(
    rollout, audio_BxE=jnp.concatenate([same, apart]), group_size=3
  )
  reward = rewards.novelty(both)
  np.testing.assert_allclose(reward[:3], 0, atol=1e-6)
  np.testing.assert_allclose(jnp.mean(reward), (0 + 4 / 3) / 2, rtol=1e-5)


def test_deep_likelihood_depends_on_the_deeper_codes_alone(rollout):
  reward = rewards.deep_likelihood(rollout)
  assert reward[0] == -np.mean([2, 3, 4, 5])
  louder = rollout.log_probs_BxNxT.at[:, 0].set(100.0)
  other = dataclasses.replace(rollout, log_probs_BxNxT=louder)
  np.testing.assert_array_equal(rewards.deep_likelihood(other), reward)


def test_verifiable_equals_verify(rollout):
  expected = [
    claims.verify(truth, np.asarray(audio), RATE)
    for truth, audio in zip(rollout.truths[:7], rollout.audio_BxS)
  ]
  reward = rewards.verifiable(rollout)
  np.testing.assert_allclose(reward, [*expected, 0], atol=1e-6)
  assert min(expected) > 0.5


def test_a_reward_on_the_host_gives_a_number_a_row(rollout):
  @rewards.OnHost
  def loud(rollout):
    return list(np.mean(np.asarray(rollout.audio_BxS) ** 2, axis=1))

  assert rewards.verifiable(rollout).dtype == loud(rollout).dtype == np.float32
  mean = rewards.OnHost(lambda rollout: np.mean(rollout.audio_BxS))
  with pytest.raises(UserError, match=r"lambda.* shape \(\) for 8 rows"):
    mean(rollout)


def test_the_old_name_of_the_audio_embeddings_warns(rollout):
  with pytest.warns(DeprecationWarning, match="audio_BxE") as record:
    assert rollout.heard_BxE is rollout.audio_BxE
  assert record[0].filename == __file__


def test_a_reward_of_ones_own(rollout, tmp_path, monkeypatch):
  (tmp_path / "one_reward.py").write_text(
    "def loud(rollout):\n  return (rollout.audio_BxS**2).mean(-1)\n"
  )
  monkeypatch.syspath_prepend(tmp_path)
  reward = rewards.find("one_reward:loud")(rollout)
  np.testing.assert_allclose(reward, jnp.mean(rollout.audio_BxS**2, -1))


@pytest.mark.parametrize(
  "name, message",
  [
    ("clpa", "did you mean 'clap'"),
    ("nothing", "verifiable.*module:function"),
    ("no_such_module:f", "PYTHONPATH"),
    ("math:no_such_function", "PYTHONPATH"),
  ],
)
def test_unknown_rewards_are_refused_with_a_remedy(name, message):
  with pytest.raises(UserError, match=message):
    rewards.find(name)


@pytest.mark.parametrize("shape", [(), (2,), (2, 4), (8, 1)])
def test_a_jitted_reward_returns_one_number_per_row(shape, rollout):
  with pytest.raises(UserError, match="reward mine returned shape .* 8 rows"):
    rewards.one_per_row("mine", jnp.zeros(shape), rollout)
  reward_B = rewards.one_per_row("mine", jnp.ones(8, jnp.bfloat16), rollout)
  assert reward_B.dtype == jnp.float32
