"""Measures on class probabilities of a tagger, such as PANNs' Cnn14.

Which probabilities is a choice that moves the numbers: Cnn14 is trained with a
sigmoid a class, and the field's usual softmax is taken over its logits.
`probabilities` names both; a report says which was used.
"""

import numpy as np

_TINY = 1e-6  # where the field's tools put it


def probabilities(logits_NxC: np.ndarray, kind: str = "softmax") -> np.ndarray:
  """Rows that sum to one ("softmax"), or a chance a class ("sigmoid")."""
  logits = np.asarray(logits_NxC, np.float64)
  if kind == "sigmoid":
    return 1 / (1 + np.exp(-logits))
  if kind != "softmax":
    raise ValueError(f"kind {kind!r}: softmax or sigmoid")
  powers = np.exp(logits - logits.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)


def inception_score(
  probs_NxC: np.ndarray, splits: int = 10
) -> tuple[float, float]:
  """Mean and deviation over `splits` of exp E KL(p(class | clip) || p(class)).

  Salimans et al. 2016. Clips are split in the order they come in. Higher is
  better: sure of every clip, and of many classes.
  """
  probs = np.asarray(probs_NxC, np.float64)
  scores = []
  for part in np.array_split(probs, min(splits, len(probs))):
    marginal = part.mean(0, keepdims=True)
    scores.append(np.exp(np.mean(_kl(part, marginal))))
  return float(np.mean(scores)), float(np.std(scores))


def kl_divergence(
  target_NxC: np.ndarray, generated_NxC: np.ndarray
) -> np.ndarray:
  """KL(target || generated) of each pair of clips [N], in nats."""
  return _kl(
    np.asarray(target_NxC, np.float64), np.asarray(generated_NxC, np.float64)
  )


def _kl(p_NxC: np.ndarray, q_NxC: np.ndarray) -> np.ndarray:
  ratio = np.log(p_NxC + _TINY) - np.log(q_NxC + _TINY)
  return np.sum(p_NxC * ratio, -1)
