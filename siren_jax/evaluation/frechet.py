"""Distances of distributions of embeddings, each seen as a Gaussian.

Fréchet distance (Heusel et al. 2017); with VGGish embeddings it is FAD
(Kilgour et al. 2019), with those of PANNs' Cnn14 the field calls it FD. The
covariance is the unbiased one. Everything is float64 on the host.

Axes: I reference clips or windows, B the others, D width of an embedding.
"""

from collections.abc import Sequence

import numpy as np

from siren_jax.common.errors import UserError


def frechet_distance(reference_IxD: np.ndarray, other_BxD: np.ndarray) -> float:
  """Squared Fréchet distance of two sets of embeddings.

  The trace of the square root of the product of covariances is the sum of
  singular values of X Y', X and Y being the centred embeddings. This is exact
  with fewer embeddings than dimensions, and needs no matrix square root.

  Raises:
    UserError: fewer than two embeddings, or some that are not finite.
  """
  reference, other = (_checked(x) for x in (reference_IxD, other_BxD))
  means = reference.mean(0) - other.mean(0)
  x, y = _root(reference), _root(other)
  cross = np.linalg.svd(x @ y.T, compute_uv=False).sum()
  distance = means @ means + np.sum(x**2) + np.sum(y**2) - 2 * cross
  return max(float(distance), 0.0)


def frechet_extrapolated(
  reference_IxD: np.ndarray,
  clips: Sequence[np.ndarray],
  seed: int = 0,
  points: int = 15,
) -> float:
  """Fréchet distance extrapolated to infinitely many clips.

  The bias falls with 1/N (Chong and Forsyth 2020; Gui et al. 2024 for audio):
  distances of random subsets of `clips`, from half of them to all, are
  extrapolated linearly in 1/N. Windows of a clip resemble each other, so N
  counts clips (Gui et al. draw windows). May be below 0 by chance.

  Args:
    reference_IxD: see `frechet_distance`.
    clips: embeddings [B, D] of the windows of each clip, or one [D].
    seed: of the subsets.
    points: number of subsets.
  """
  rng = np.random.default_rng(seed)
  other = [np.atleast_2d(x) for x in clips]
  sizes = np.linspace(max(2, len(other) // 2), len(other), points).astype(int)
  distances = [
    frechet_distance(
      reference_IxD,
      np.concatenate([other[i] for i in rng.permutation(len(other))[:size]]),
    )
    for size in sizes
  ]
  return float(np.polyfit(1 / sizes, distances, 1)[1])


def _checked(embeddings_BxD: np.ndarray) -> np.ndarray:
  embeddings = np.asarray(embeddings_BxD, np.float64)
  if embeddings.ndim != 2 or len(embeddings) < 2:
    raise UserError(
      f"embeddings of shape {list(embeddings.shape)}: expected"
      " [clips, width] with at least 2 clips; add clips"
    )
  if not np.isfinite(embeddings).all():
    raise UserError("embeddings are not finite; look for broken clips")
  return embeddings


def _root(embeddings_BxD: np.ndarray) -> np.ndarray:
  """A matrix X of few rows whose X'X is the covariance."""
  x = (embeddings_BxD - embeddings_BxD.mean(0)) / np.sqrt(
    len(embeddings_BxD) - 1
  )
  return np.asarray(np.linalg.qr(x, mode="r")) if len(x) > x.shape[1] else x
