"""The kinds of sound nearest to a prompt, by its embedding and its words.

Our design. The text tower places unknown words near those that mean the same,
but kinds that sound alike lie close together there; the words of the phrase
book tell them apart (docs/training.md).

Axes: I texts, O kinds.
"""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from siren_jax.data.captions import phrasebook
from siren_jax.weights.repertoire import Kind, Repertoire, cosines

# Relative to a cosine. Chosen on held-out phrasings.
_WORDS = 1.5
# Three letters stay, four before an e.
_ENDING = re.compile(r"(?<=...)(?:ings?|ed|es|er|ly|(?<=....)e|(?<![isu])s)$")


def closest(
  prompt: str, text_E: np.ndarray, known: Repertoire, count: int
) -> tuple[Kind, ...]:
  """At most `count` kinds, the nearest first.

  Args:
    prompt: of a sound.
    text_E: its embedding, of length one.
    known: the kinds.
    count: how many, at most.
  """
  phrase_I = cosines(known.known_IxE, text_E)
  described_I = cosines(known.described_IxE, text_E)
  score_O = scores(prompt, phrase_I, described_I, known)
  order = np.argsort(-score_O, kind="stable")
  return tuple(known.kinds[kind] for kind in order[:count])


def scores(
  prompt: str,
  phrase_I: np.ndarray,
  described_I: np.ndarray,
  known: Repertoire,
) -> np.ndarray:
  """How near each kind is to a prompt, [O].

  The highest cosine of its phrases and descriptions, plus the weighted cosine
  of the words' TF-IDF.

  Args:
    prompt: of a sound.
    phrase_I: cosines of its embedding and those of `known.known_IxE`.
    described_I: the same of `known.described_IxE`.
    known: the kinds.
  """
  cosine_O = np.full(len(known.kinds), -1.0)
  np.maximum.at(cosine_O, known.kind_I, phrase_I)
  np.maximum.at(cosine_O, known.described_kind_I, described_I)
  return cosine_O + _WORDS * _index(called(known)).cosines(prompt)


def called(known: Repertoire) -> tuple[tuple[str, str], ...]:
  """Name and example of each kind: what its texts in the book depend on."""
  return tuple((kind.name, kind.example) for kind in known.kinds)


@dataclasses.dataclass(frozen=True)
class _Index:
  """TF-IDF of the words of all kinds (Salton and Buckley 1988).

  Attributes:
    size: number of kinds.
    weights: by stem, and then by kind; of length one for each kind.
  """

  size: int
  weights: Mapping[str, Mapping[int, float]]

  def cosines(self, text: str) -> np.ndarray:
    """With the words of each kind, [O]; unknown words count as the rarest."""
    cosine_O = np.zeros(self.size)
    rarity = {stem: self.rarity(stem) for stem in _stems(text)}
    for stem, weight in _weighted(_stems(text), rarity).items():
      for kind, own in self.weights.get(stem, {}).items():
        cosine_O[kind] += weight * own
    return cosine_O

  def rarity(self, stem: str) -> float:
    return _rarity(len(self.weights.get(stem, {})), self.size)


@functools.cache
def _index(kinds: Sequence[tuple[str, str]]) -> _Index:
  """Of the phrase book's texts of these kinds.

  Args:
    kinds: name and example of each.
  """
  stems = [
    _stems(" ".join((name, example, *phrasebook.every_phrasing(name))))
    for name, example in kinds
  ]
  count = collections.Counter(stem for own in stems for stem in set(own))
  rarity = {stem: _rarity(n, len(kinds)) for stem, n in count.items()}
  weights: dict[str, dict[int, float]] = collections.defaultdict(dict)
  for kind, own in enumerate(stems):
    for stem, weight in _weighted(own, rarity).items():
      weights[stem][kind] = weight
  return _Index(len(kinds), dict(weights))


def _rarity(kinds: int, of: int) -> float:
  """Inverse document frequency of a word that `kinds` kinds have."""
  return math.log((1 + of) / (1 + kinds)) + 1


def _weighted(
  stems: Iterable[str], rarity: Mapping[str, float]
) -> dict[str, float]:
  """TF-IDF by stem, of length one."""
  weights = {
    stem: (1 + math.log(times)) * rarity[stem]
    for stem, times in collections.Counter(stems).items()
  }
  length = math.hypot(*weights.values())
  return {stem: weight / length for stem, weight in weights.items()}


def _stems(text: str) -> list[str]:
  """Words without articles and common endings."""
  return [_ENDING.sub("", word) for word in phrasebook.normal(text).split()]
