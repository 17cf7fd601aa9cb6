"""The alignment step: rollouts, rewards, advantages, a few updates."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax

from siren_jax import clap, experts, sampling
from siren_jax.alignment import advantages, objective, rewards
from siren_jax.alignment.config import AlignConfig
from siren_jax.codec.config import CodecConfig
from siren_jax.common import mesh as meshes
from siren_jax.common.errors import UserError
from siren_jax.common.masks import masked_mean
from siren_jax.common.rng import named_key
from siren_jax.experts.embedding import FROZEN
from siren_jax.experts.expert import is_boxed
from siren_jax.experts.task import decays
from siren_jax.training import (
  OptimizerConfig,
  Sounds,
  TrainState,
  averaged,
  make_optimizer,
  split_rows,
)
from siren_jax.training.task import Batch, Metrics

PROMPTS = ("ids_BxP", "mask_BxP", "truth_B", "place_B")
_JUDGED = (
  "codes_BxNxT", "log_probs_BxNxT", "audio_BxS", "text_BxE", "audio_BxE",
  "truth_B",
)  # fmt: skip
_MISMATCH = ("log_prob_mismatch_mean", "log_prob_mismatch_max")


class AlignTask:
  """`training.Task` that tunes the policy's experts with rewards of rollouts.

  A step is one program: rollouts of the whole stack are decoded and scored,
  then each minibatch makes an update. With a `rewards.OnHost`, a step is two
  programs, and that reward is computed between them (`MeasuredTask`).

  `state.params` holds the policy's experts only; `state.extra` holds what does
  not change: the initial experts (including the reference), codec and CLAP.

  Args:
    models: configs of CLAP, experts and codec, and their execution.
    params: their parameters, by name.
    config: what is tuned, and how.
    optimizer: for each expert separately; its steps are minibatches.
    truths: what prompts may claim, for rewards that check it.
    ema_decay: of the averaged policy, which is evaluated and finally saved; 0:
      no average.

  Raises:
    UserError: unknown expert or reward, or a reward that cannot be computed.
  """

  shown = ("reward", "kl", "clip_fraction", "diversity")

  def __init__(
    self,
    models: sampling.Models,
    params: Mapping[str, Any],
    config: AlignConfig,
    optimizer: OptimizerConfig,
    truths: Sequence[Any] = (),
    ema_decay: float = 0.0,
  ):
    models.execution.check_trains()
    self.models, self.config, self._ema_decay = models, config, ema_decay
    self.init_args, self._truths = (params,), tuple(truths)
    self._rewards = {name: rewards.find(name) for name in config.rewards}
    self._on_host = {
      name: reward
      for name, reward in self._rewards.items()
      if isinstance(reward, rewards.OnHost)
    }
    self.measure = self._measure if self._on_host else None
    self._tx = make_optimizer(
      optimizer,
      decays=decays,
      trains=_is_tuned(config.tuned, params["experts"]["params"]),
    )
    self._policy_N = _codebooks(models.experts, config.policy)
    self._frames = _frames(config.seconds, models.codec)
    if "deep_likelihood" in config.rewards and self._policy_N.all():
      raise UserError(
        f"alignment policy={config.policy} leaves no deeper experts for the"
        " reward deep_likelihood; tune fewer, or reward something else"
      )
    if "verifiable" in config.rewards and not truths:
      raise UserError(
        "reward verifiable needs prompts with known ground truth; set"
        " data.synthetic, such as --config.data.synthetic=200"
      )

  def init(self, key: jax.Array, params: Mapping[str, Any]) -> TrainState:
    boxed = experts.init(key, self.models.experts)
    stack = meshes.with_values(boxed, params["experts"])
    chosen = jnp.array(self.config.policy)
    policy = jax.tree.map(
      lambda box: box.replace(
        value=box.value[chosen], names=("policy", *box.names[1:])
      ),
      stack["params"],
      is_leaf=is_boxed,
    )
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=policy,
      opt_state=jax.vmap(self._tx.init)(policy),
      extra=dict(params, experts=stack),
      ema=jax.tree.map(jnp.copy, policy) if self._ema_decay else None,
    )

  def step(
    self, state: TrainState, batch: Batch, key: jax.Array
  ) -> tuple[TrainState, Metrics]:
    """Rollouts for the prompts of a batch of `PROMPTS`, then updates.

    Alternatively, `batch` is the result of `measure` for such rollouts.
    """
    rows, reward_metrics = self.experience(state, batch, key)
    state, metrics = self._update(rows, state)
    return state, metrics | reward_metrics

  def experience(
    self, state: TrainState, batch: Batch, key: jax.Array
  ) -> tuple[Batch, Metrics]:
    """Rollouts as rows for `loss`, and metrics of their rewards.

    Args: see `step`.
    """
    rolled = self._rolled(state, batch, key)
    reward_QxG = self._compute_rewards(rolled)
    weights = dict(zip(self.config.rewards, self.config.weights, strict=True))
    advantage_QxG = advantages.combine(
      reward_QxG, weights, self.config.advantage
    )
    rows = {
      "codes_BxNxT": rolled["codes_BxNxT"],
      "drawn_BxNxT": rolled["log_probs_BxNxT"][:, self._policy_N],
      "prompt_BxPxC": rolled["prompt_BxPxC"],
      "mask_BxP": rolled["prompt_mask_BxP"],
      "advantage_B": advantage_QxG.reshape(-1),
    }
    return rows, self._reward_metrics(rolled, reward_QxG)

  def loss(
    self, params: Any, stack: Any, rows: Batch
  ) -> tuple[jax.Array, Metrics]:
    """The objective of the policy's `params`, for rows of `experience`.

    `stack` holds all initial experts, including the reference.
    """
    config = self.config
    tables, reference = self._of_policy(stack)

    def scores(params: Any) -> sampling.Scores:
      return sampling.score(
        {"params": params, FROZEN: tables}, self.models.experts,
        config.sampling, rows["codes_BxNxT"], rows["prompt_BxPxC"],
        rows["mask_BxP"], config.policy,
        execution=self.models.execution,
      )  # fmt: skip

    now, before = scores(params), scores(reference)
    drawn = rows["drawn_BxNxT"]
    mismatch = jnp.abs(now.log_probs_BxNxT - drawn)
    if config.minibatches == 1:
      # The policy drew these codes itself: every ratio is 1, whatever the
      # rounding of sampler and scorer.
      drawn = jax.lax.stop_gradient(now.log_probs_BxNxT)
    loss, metrics = objective.policy_loss(
      now.log_probs_BxNxT, drawn, before.log_probs_BxNxT,
      rows["advantage_B"], config.clip_low, config.clip_high, config.kl,
    )  # fmt: skip
    metrics |= dict(zip(_MISMATCH, (jnp.mean(mismatch), jnp.max(mismatch))))
    return loss, metrics | {"entropy": jnp.mean(now.entropy_BxNxT)}

  def evaluate(self, state: TrainState, batch: Batch) -> Metrics:
    """Rewards of rollouts with the same random numbers every time.

    These depend on a prompt's index in the stream: no two batches share them.
    `batch`: see `step`.
    """
    rolled = self._rolled(state, batch, None)
    return self._reward_metrics(rolled, self._compute_rewards(rolled))

  def merged(self, state: TrainState) -> Any:
    """All experts, with those of the policy replaced by the tuned ones."""
    chosen = jnp.array(self.config.policy)
    stack = state.extra["experts"]
    whole = jax.tree.map(
      lambda old, new: old.at[chosen].set(new), stack["params"], state.params
    )
    return {"params": whole, FROZEN: stack[FROZEN]}

  def gathered(self, state: TrainState) -> Any:
    """`merged` of the averaged policy, complete on every process's host."""
    state = dataclasses.replace(state, params=state.eval_params)
    mesh = jax.tree.leaves(state.params)[0].sharding.mesh
    merge = jax.jit(self.merged, out_shardings=meshes.replicated(mesh))
    return jax.device_get(merge(state))

  def rollout(
    self, state: TrainState, batch: Batch, key: jax.Array | None
  ) -> Batch:
    """G sounds for each prompt of a batch, drawn by the policy of `state`.

    Without a key (for an evaluation), by the averaged policy if there is one.
    """
    return self._draw(state, batch, key, self.config.group_size)

  @property
  def sounds(self) -> Sounds:
    """The first sound of each prompt, drawn as in an evaluation."""
    return Sounds(self._sounds, self.models.codec.sample_rate)

  def _sounds(
    self, state: TrainState, batch: Batch, rows: int
  ) -> dict[str, jax.Array]:
    if "audio_BxS" in batch:  # already drawn
      audio_BxS = batch["audio_BxS"][:: self.config.group_size][:rows]
    else:
      prompts = {name: batch[name][:rows] for name in PROMPTS}
      audio_BxS = self._draw(state, prompts, None, 1)["audio_BxS"]
    return {"generated": audio_BxS}

  def _draw(
    self, state: TrainState, batch: Batch, key: jax.Array | None, group: int
  ) -> Batch:
    """`rollout` with a group of any size."""
    if key is None:
      state = dataclasses.replace(state, params=state.eval_params)
      key = jax.random.key(0)
    ids_QxP, mask_QxP, truth_Q, place_Q = (batch[name] for name in PROMPTS)
    keys_Q = jax.vmap(jax.random.fold_in, (None, 0))(
      named_key(key, "rollout"), place_Q
    )
    keys_QxG = jax.vmap(lambda key: jax.random.split(key, group))(keys_Q)
    params = state.extra | {"experts": self.merged(state)}
    generated = sampling.generate(
      params, self.models, self.config.sampling, ids_QxP, mask_QxP, keys_QxG,
      self._frames,
    )  # fmt: skip
    audio_BxE = clap.encode_audio(
      params["clap"], self.models.clap, generated.audio_BxS,
      self.models.codec.sample_rate,
    )  # fmt: skip
    return {
      "codes_BxNxT": generated.samples.codes_BxNxT,
      "log_probs_BxNxT": generated.samples.log_probs_BxNxT,
      "prompt_BxPxC": generated.prompt_BxPxC,
      "prompt_mask_BxP": generated.prompt_mask_BxP,
      "audio_BxS": generated.audio_BxS,
      "text_BxE": generated.text_BxE,
      "audio_BxE": audio_BxE,
      "truth_B": jnp.repeat(truth_Q, group),
    }

  def _rolled(
    self, state: TrainState, batch: Batch, key: jax.Array | None
  ) -> Batch:
    is_rolled = "audio_BxS" in batch
    return batch if is_rolled else self.rollout(state, batch, key)

  def _judged(self, rolled: Mapping[str, Any]) -> rewards.Rollout:
    """The input of rewards."""
    return rewards.Rollout(
      **{name: rolled[name] for name in _JUDGED},
      deep_N=~self._policy_N,
      truths=self._truths,
      sample_rate=self.models.codec.sample_rate,
      group_size=self.config.group_size,
    )

  def _measure(self, rolled: Batch) -> Batch:
    """Adds the rewards computed on the host, named as in the metrics."""
    own = self._judged({n: meshes.own_rows(rolled[n]) for n in _JUDGED})
    reward_B = {
      f"reward_{name}": reward(own) for name, reward in self._on_host.items()
    }
    sharding: Any = rolled["truth_B"].sharding
    return {**rolled, **meshes.shard_batch(reward_B, sharding.mesh)}

  def _compute_rewards(self, rolled: Batch) -> dict[str, jax.Array]:
    """All rewards by name, [Q, G]."""
    rollout = self._judged(rolled)
    reward_B = {
      name: rolled[f"reward_{name}"]
      if name in self._on_host
      else rewards.one_per_row(name, reward(rollout), rollout)
      for name, reward in self._rewards.items()
    }
    group = self.config.group_size
    return {name: value.reshape(-1, group) for name, value in reward_B.items()}

  def _reward_metrics(
    self, rolled: Batch, reward_QxG: Mapping[str, jax.Array]
  ) -> Metrics:
    """Mean of each reward, their weighted sum, and diversity."""
    means = {
      name: masked_mean(reward, jnp.isfinite(reward))
      for name, reward in reward_QxG.items()
    }
    weighted = (
      weight * means[name]
      for name, weight in zip(self.config.rewards, self.config.weights)
    )
    return {f"reward_{name}": mean for name, mean in means.items()} | {
      "reward": jnp.asarray(sum(weighted)),
      "diversity": jnp.mean(rewards.novelty(self._judged(rolled))),
    }

  def _update(
    self, rows: Batch, state: TrainState
  ) -> tuple[TrainState, Metrics]:
    """One pass over the rollouts, with one update per minibatch."""
    stack = state.extra["experts"]

    def update(
      carry: tuple[Any, Any], minibatch: Batch
    ) -> tuple[tuple[Any, Any], Metrics]:
      params, opt_state = carry
      grad = jax.value_and_grad(self.loss, has_aux=True)
      (loss, metrics), grads = grad(params, stack, minibatch)
      updates, opt_state = jax.vmap(self._tx.update)(grads, opt_state, params)
      params = optax.apply_updates(params, updates)
      norm = optax.global_norm(grads)
      return (params, opt_state), metrics | {"loss": loss, "grad_norm": norm}

    minibatches = split_rows(rows, self.config.minibatches)
    carry = state.params, state.opt_state
    (params, opt_state), metrics = jax.lax.scan(update, carry, minibatches)
    ema = averaged(state.ema, params, self._ema_decay, state.step)
    state = dataclasses.replace(
      state, params=params, opt_state=opt_state, ema=ema
    )
    # Before the first update, sampler and scorer use the same policy.
    first = {name: metrics.pop(name)[0] for name in _MISMATCH}
    return state, jax.tree.map(jnp.mean, metrics) | first

  def _of_policy(self, stack: Any) -> tuple[Any, Any]:
    """Frozen tables and initial parameters of the policy's experts."""
    chosen = jnp.array(self.config.policy)
    own = jax.tree.map(lambda x: x[chosen], dict(stack))
    return own[FROZEN], own["params"]


def _codebooks(
  config: experts.ExpertConfig, policy: Sequence[int]
) -> np.ndarray:
  """Mask [N], True for the codebooks of the policy's experts."""
  if not all(0 <= k < config.num_experts for k in policy):
    raise UserError(
      f"alignment policy={policy}: this model has experts 0 to"
      f" {config.num_experts - 1}"
    )
  own = np.arange(config.num_codebooks) // config.codebooks_per_expert
  return np.isin(own, policy)


def _is_tuned(
  tuned: Sequence[str], params: Any
) -> Callable[[tuple[str, ...]], bool] | None:
  """Predicate of parameter paths that are tuned; None: all are."""
  paths = ["/".join(p) for p in flax.traverse_util.flatten_dict(params)]
  for name in tuned:
    if not any(name in path for path in paths):
      raise UserError(
        f"alignment tuned={tuple(tuned)}: no parameter has {name!r} in its"
        " name; siren-jax inspect MODEL --full shows the names"
      )
  if not tuned:
    return None
  return lambda path: any(name in "/".join(path) for name in tuned)


def _frames(seconds: float, codec: CodecConfig) -> int:
  return max(1, round(seconds * codec.sample_rate / codec.hop))
