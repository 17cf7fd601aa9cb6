"""Settings of the alignment."""

import dataclasses

from siren_jax.alignment.advantages import METHODS
from siren_jax.common.errors import UserError
from siren_jax.sampling import SamplingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignConfig:
  """What is tuned, with which rewards, and how fast.

  Attributes:
    policy: numbers of the experts that are tuned; the others stay fixed.
    tuned: tune only parameters whose name contains one of these, such as
      "scale" or "cross_attention"; (): all. Few parameters drift less.
    rewards: names from `rewards.REWARDS`, or "module:function" for your own.
    weights: of the advantages, one per reward.
    group_size: G, rollouts per prompt, which are compared with each other.
    advantage: "group" divides a reward by its spread within the group (GRPO),
      "leave_one_out" subtracts the mean of the others (RLOO) and keeps the
      relative scale of prompts.
    seconds: length of a rollout.
    sampling: how rollouts are drawn. Every code needs a nonzero probability: no
      top-k, top-p or greedy.
    minibatches: updates per step; while there are at most `group_size`, each
      has rows of every group.
    clip_low, clip_high: the probability ratio of a code is clipped to
      [1 - clip_low, 1 + clip_high] (DAPO's two bounds).
    kl: weight of the divergence from the initial policy.
  """

  policy: tuple[int, ...] = (0, 1)
  tuned: tuple[str, ...] = ()
  rewards: tuple[str, ...] = ("clap",)
  weights: tuple[float, ...] = (1.0,)
  group_size: int = 8
  advantage: str = "group"
  seconds: float = 5.0
  sampling: SamplingConfig = SamplingConfig()
  minibatches: int = 4
  clip_low: float = 0.2
  clip_high: float = 0.3
  kl: float = 0.02

  def __post_init__(self) -> None:
    checks = (
      (
        "policy",
        self.policy and list(self.policy) == sorted(set(self.policy)),
        "give numbers of experts in order, each once",
      ),
      ("rewards", self.rewards, "name at least one"),
      (
        "weights",
        len(self.weights) == len(self.rewards),
        f"give one for each of rewards={self.rewards}",
      ),
      ("group_size", self.group_size >= 2, "must be at least 2"),
      (
        "advantage",
        self.advantage in METHODS,
        f"known: {', '.join(METHODS)}",
      ),
      ("seconds", self.seconds > 0, "must be above 0"),
      ("minibatches", self.minibatches >= 1, "must be at least 1"),
      ("clip_low", 0 < self.clip_low <= 1, "must be above 0 and at most 1"),
      ("clip_high", self.clip_high > 0, "must be above 0"),
      ("kl", self.kl >= 0, "must be at least 0"),
    )
    for name, is_right, remedy in checks:
      if not is_right:
        raise UserError(f"alignment {name}={getattr(self, name)}: {remedy}")
    s = self.sampling
    if s.greedy or s.top_k is not None or s.top_p is not None:
      raise UserError(
        "alignment sampling: top_k, top_p and greedy give some codes zero"
        " probability; use only temperature and guidance"
      )
