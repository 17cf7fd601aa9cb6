"""Rewards: pure functions of what a rollout brought, one number a row.

They exist only when the deeper experts, the decoder and CLAP have spoken;
from there they come back to the coarse codes.

They are jitted, but for those that are `OnHost`.
"""

import concurrent.futures
import dataclasses
import difflib
import importlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.alignment import claims
from siren_jax.common.errors import UserError

_CONTRAST_SCALE = 10.0  # inverse temperature


@flax.struct.dataclass
class Rollout:
  """What rewards look at; the rollouts of a prompt lie side by side.

  Attributes:
    codes_BxNxT: int32. log_probs_BxNxT: of each, as it was drawn.
    deep_N: True for the codebooks of experts that are not tuned.
    audio_BxS: in [-1, 1] at `sample_rate`.
    text_BxE, audio_BxE: CLAP embeddings of length one, of the prompt and of
      the audio.
    truth_B: index into `truths`, -1 where a prompt has none.
    truths: what prompts claim, see `siren_jax.data.synthetic.sounds`.
    sample_rate: Hz.
    group_size: G.
  """

  codes_BxNxT: jax.Array
  log_probs_BxNxT: jax.Array
  deep_N: np.ndarray = flax.struct.field(pytree_node=False)
  audio_BxS: jax.Array
  text_BxE: jax.Array
  audio_BxE: jax.Array
  truth_B: jax.Array
  truths: Sequence[Any] = flax.struct.field(pytree_node=False)
  sample_rate: int = flax.struct.field(pytree_node=False)
  group_size: int = flax.struct.field(pytree_node=False)

  @property
  def heard_BxE(self) -> jax.Array:
    """`audio_BxE`, by the name it once had."""
    warnings.warn(
      "Rollout.heard_BxE is Rollout.audio_BxE now",
      DeprecationWarning,
      stacklevel=2,
    )
    return self.audio_BxE


Reward = Callable[[Rollout], jax.Array]


@dataclasses.dataclass(frozen=True)
class OnHost:
  """A reward that is computed on the host, between rollouts and update.

  Its rollout has NumPy arrays: the rows of this process, in whole groups. As a
  decorator it makes such a reward of a function.
  """

  function: Callable[[Rollout], np.ndarray]

  def __call__(self, rollout: Rollout) -> np.ndarray:
    """float32, one number a row.

    Raises:
      UserError: the function gave anything else.
    """
    reward_B = np.asarray(self.function(rollout), np.float32)
    rows = len(rollout.truth_B)
    if reward_B.shape != (rows,):
      name = f"{self.function.__module__}:{self.function.__qualname__}"
      raise UserError(
        f"reward {name} returned shape {reward_B.shape} for {rows} rows;"
        f" return one number per row, shape ({rows},)"
      )
    return reward_B


def clap(rollout: Rollout) -> jax.Array:
  """Cosine of the prompt and the decoded audio, in [-1, 1]."""
  return jnp.sum(rollout.text_BxE * rollout.audio_BxE, -1)


def contrast(rollout: Rollout) -> jax.Array:
  """Log-probability that CLAP picks the prompt among those of the batch.

  A sound that is near to any prompt gains nothing, as it does from `clap`.
  """
  text_QxE = rollout.text_BxE[:: rollout.group_size]
  logits_BxQ = _CONTRAST_SCALE * rollout.audio_BxE @ text_QxE.T
  own_B = jnp.arange(len(logits_BxQ)) // rollout.group_size
  log_probs_BxQ = jax.nn.log_softmax(logits_BxQ)
  return jnp.take_along_axis(log_probs_BxQ, own_B[:, None], 1)[:, 0]


def novelty(rollout: Rollout) -> jax.Array:
  """Mean of 1 - cosine to the other rollouts of the prompt, in [0, 2]."""
  group = rollout.group_size
  audio_QxGxE = rollout.audio_BxE.reshape(
    -1, group, rollout.audio_BxE.shape[-1]
  )
  to_all_QxG = jnp.einsum("qge,qe->qg", audio_QxGxE, jnp.sum(audio_QxGxE, 1))
  return 1 - (to_all_QxG.reshape(-1) - 1) / (group - 1)


def deep_likelihood(rollout: Rollout) -> jax.Array:
  """Mean log-prob of the deeper codes under the experts that drew them.

  Coarse codes that the deeper experts know how to go on from.
  """
  return jnp.mean(rollout.log_probs_BxNxT[:, rollout.deep_N], axis=(1, 2))


@OnHost
def verifiable(rollout: Rollout) -> np.ndarray:
  """How far the audio is what the prompt claims, in [0, 1]; else 0.

  `siren_jax.alignment.claims` measures it, in threads: NumPy's transforms let
  others run.
  """

  def score(truth: int, audio_S: np.ndarray) -> float:
    if truth < 0:
      return 0.0
    return claims.verify(rollout.truths[truth], audio_S, rollout.sample_rate)

  rows = np.asarray(rollout.truth_B), np.asarray(rollout.audio_BxS)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    return np.fromiter(pool.map(score, *rows), np.float32)


REWARDS: dict[str, Reward | OnHost] = {
  "clap": clap,
  "contrast": contrast,
  "deep_likelihood": deep_likelihood,
  "novelty": novelty,
  "verifiable": verifiable,
}


def find(name: str) -> Reward | OnHost:
  """A reward by its name here, or any function as "module:function".

  Raises:
    UserError: there is none; the message names what is near.
  """
  if name in REWARDS:
    return REWARDS[name]
  module, _, function = name.partition(":")
  if not function:
    near = difflib.get_close_matches(name, REWARDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else ", ".join(REWARDS)
    raise UserError(
      f"no reward {name!r}; {hint} (for your own: 'module:function')"
    )
  try:
    return getattr(importlib.import_module(module), function)
  except (ImportError, AttributeError) as error:
    raise UserError(
      f"reward {name!r}: {error}; the module must be on PYTHONPATH"
    ) from error
