"""Measures on class probabilities of a tagger, such as PANNs' Cnn14.

The choice of probabilities affects the results: Cnn14 is trained with a sigmoid
per class, but the usual practice is a softmax over its logits. `probabilities`
computes both; a report says which was used.
"""

import numpy as np
import scipy.special

from siren_jax.common.errors import UserError

SPLITS = 10  # parts of clips, for the inception score
_TINY = 1e-6  # as in the usual tools


def probabilities(logits_BxO: np.ndarray, kind: str = "softmax") -> np.ndarray:
  """Rows that sum to one ("softmax"), or a probability per class ("sigmoid").

  A logit of minus infinity is an impossible class.

  Raises:
    UserError: a logit is NaN or infinite, or a row has no possible class.
  """
  logits = np.asarray(logits_BxO, np.float64)
  if kind not in ("softmax", "sigmoid"):
    raise ValueError(f"kind {kind!r}: softmax or sigmoid")
  if not np.isfinite(logits.max(-1)).all():
    raise UserError("logits are not finite; look for broken clips or weights")
  if kind == "sigmoid":
    return scipy.special.expit(logits)
  return scipy.special.softmax(logits, -1)


def inception_score(
  probs_BxO: np.ndarray, splits: int = SPLITS
) -> tuple[float, float]:
  """Mean and deviation over `splits` of exp E KL(p(class | clip) || p(class)).

  Salimans et al. 2016. Clips are split in the given order. Higher is better:
  confident predictions of diverse classes.
  """
  probs = np.asarray(probs_BxO, np.float64)
  scores = []
  for part in np.array_split(probs, min(splits, len(probs))):
    marginal = part.mean(0, keepdims=True)
    scores.append(np.exp(np.mean(_kl(part, marginal))))
  return float(np.mean(scores)), float(np.std(scores))


def kl_divergence(
  target_BxO: np.ndarray, generated_BxO: np.ndarray
) -> np.ndarray:
  """KL(target || generated) of each pair of clips [B], in nats.

  Raises:
    UserError: shapes differ.
  """
  target = np.asarray(target_BxO, np.float64)
  generated = np.asarray(generated_BxO, np.float64)
  if target.shape != generated.shape:
    raise UserError(
      f"class probabilities of shapes {list(target.shape)} and"
      f" {list(generated.shape)}: the shapes must match, [clips, classes]"
    )
  return _kl(target, generated)


def _kl(p_BxO: np.ndarray, q_BxO: np.ndarray) -> np.ndarray:
  ratio = np.log(p_BxO + _TINY) - np.log(q_BxO + _TINY)
  return np.sum(p_BxO * ratio, -1)
