"""Rewards: pure functions of a rollout, one number per row.

They need the output of the deeper experts, the decoder and CLAP, and train the
experts of the coarse codes.

They are jitted, except those that are `OnHost`.
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
  """The input of rewards; the rollouts of a prompt are adjacent rows.

  Attributes:
    codes_BxNxT: int32. log_probs_BxNxT: of each code when it was drawn.
    deep_N: True for the codebooks of experts that are not tuned.
    audio_BxS: at `sample_rate`; not clipped, so it may exceed [-1, 1].
    text_BxE, audio_BxE: CLAP embeddings of length one, of the prompt and of
      the audio.
    truth_B: index into `truths`; -1 for a prompt without one.
    truths: what prompts claim; see `siren_jax.data.synthetic.sounds`.
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
    """Deprecated name of `audio_BxE`."""
    warnings.warn(
      "Rollout.heard_BxE is Rollout.audio_BxE now",
      DeprecationWarning,
      stacklevel=2,
    )
    return self.audio_BxE


Reward = Callable[[Rollout], jax.Array]


@dataclasses.dataclass(frozen=True)
class OnHost:
  """A reward computed on the host, between rollouts and update.

  Its rollout has NumPy arrays: the rows of this process, in whole groups. Can
  be used as a decorator.
  """

  function: Callable[[Rollout], np.ndarray]

  def __call__(self, rollout: Rollout) -> np.ndarray:
    """One float32 number per row.

    Raises:
      UserError: the function returned anything else.
    """
    name = f"{self.function.__module__}:{self.function.__qualname__}"
    reward_B = np.asarray(self.function(rollout), np.float32)
    _check_rows(name, reward_B.shape, rollout)
    return reward_B


def one_per_row(name: str, reward: Any, rollout: Rollout) -> jax.Array:
  """What a jitted reward returned, as one float32 number per row.

  Raises:
    UserError: it returned anything else.
  """
  reward_B = jnp.asarray(reward, jnp.float32)
  _check_rows(name, reward_B.shape, rollout)
  return reward_B


def _check_rows(name: str, shape: tuple[int, ...], rollout: Rollout) -> None:
  rows = len(rollout.truth_B)
  if shape != (rows,):
    raise UserError(
      f"reward {name} returned shape {shape} for {rows} rows; return one number"
      f" per row, shape ({rows},)"
    )


def clap(rollout: Rollout) -> jax.Array:
  """Cosine of the prompt and the decoded audio, in [-1, 1]."""
  return jnp.sum(rollout.text_BxE * rollout.audio_BxE, -1)


def contrast(rollout: Rollout) -> jax.Array:
  """Log-probability that CLAP picks the prompt among those of the batch.

  Unlike `clap`, it does not reward sounds that are close to every prompt.
  """
  text_QxE = rollout.text_BxE[:: rollout.group_size]
  logits_BxQ = _CONTRAST_SCALE * rollout.audio_BxE @ text_QxE.T
  own_B = jnp.arange(len(logits_BxQ)) // rollout.group_size
  log_probs_BxQ = jax.nn.log_softmax(logits_BxQ)
  return jnp.take_along_axis(log_probs_BxQ, own_B[:, None], 1)[:, 0]


def novelty(rollout: Rollout) -> jax.Array:
  """Mean of 1 - cosine with the other rollouts of the prompt, in [0, 2]."""
  group = rollout.group_size
  audio_QxGxE = rollout.audio_BxE.reshape(
    -1, group, rollout.audio_BxE.shape[-1]
  )
  to_all_QxG = jnp.einsum("qge,qe->qg", audio_QxGxE, jnp.sum(audio_QxGxE, 1))
  return 1 - (to_all_QxG.reshape(-1) - 1) / (group - 1)


def deep_likelihood(rollout: Rollout) -> jax.Array:
  """Mean log-prob of the deeper codes under the experts that drew them.

  Rewards coarse codes that the deeper experts can continue.
  """
  return jnp.mean(rollout.log_probs_BxNxT[:, rollout.deep_N], axis=(1, 2))


@OnHost
def verifiable(rollout: Rollout) -> np.ndarray:
  """How well the audio matches the prompt's truth, in [0, 1]; 0 without one.

  `siren_jax.alignment.claims` measures it, in threads: NumPy's transforms
  release the GIL.
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
  """A reward by its name in `REWARDS`, or any function as "module:function".

  Raises:
    UserError: there is none; the message suggests a similar name.
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
