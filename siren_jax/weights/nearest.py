"""The kinds of sound nearest to a text, by its words and their meaning.

Our design. The embedding of a whole text places unknown words near those that
mean the same, but kinds that sound alike lie close together there; the words of
the phrase book tell them apart, and vectors of single words find the kind of
many that are not in the book (docs/how_it_works.md).

Axes: I texts, O kinds, U different words, W width of a word vector.
"""

import collections
import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import sparse

from siren_jax.clap.model import of_length_one
from siren_jax.data.captions import phrasebook
from siren_jax.weights.repertoire import Kind, Repertoire, cosines

# Relative to the cosine of TF-IDF. Chosen on the prompts of
# docs/how_it_works.md.
_WORD_VECTORS, _EMBEDDING = 0.5, 0.25
# Three letters stay, four before an e.
_ENDING = re.compile(r"(?<=...)(?:ings?|ed|es|er|ly|(?<=....)e|(?<![isu])s)$")


@dataclasses.dataclass(frozen=True, eq=False)
class KindSearch:
  """Finds the kinds nearest to texts. What it needs is computed once.

  Attributes:
    known: the kinds.
    embed: embedding [E] of a text, of length one.
    word_vectors: of words, [U, W], of length one.
  """

  known: Repertoire
  embed: Callable[[str], np.ndarray]
  word_vectors: Callable[[Sequence[str]], np.ndarray]

  def closest(self, text: str, count: int) -> tuple[Kind, ...]:
    """At most `count` kinds, the nearest first."""
    order = np.argsort(-self.scores(text), kind="stable")
    return tuple(self.known.kinds[kind] for kind in order[:count])

  def scores(self, text: str) -> np.ndarray:
    """How near each kind is, [O].

    A weighted sum of cosines: of TF-IDF of all words of a kind, and, for the
    nearest text of a kind, of the mean word vector and of the embedding.
    """
    index, known = self._index, self.known
    means_IxW, kind_I = self._means
    words = phrasebook.normal(text)
    (mean_W,) = index.means([words], self.word_vectors)
    text_E = self.embed(text)
    size = len(known.kinds)
    embedding_O = np.maximum(
      _highest(cosines(known.known_IxE, text_E), known.kind_I, size),
      _highest(
        cosines(known.described_IxE, text_E), known.described_kind_I, size
      ),
    )
    return (
      index.cosines(words)
      + _WORD_VECTORS * _highest(means_IxW @ mean_W, kind_I, size)
      + _EMBEDDING * embedding_O
    )

  @functools.cached_property
  def phrases(self) -> Mapping[str, frozenset[str]]:
    """Names of kinds by what they are called, in normal form."""
    named: dict[str, set[str]] = collections.defaultdict(set)
    for kind in self.known.kinds:
      texts = (kind.name, kind.example, *phrasebook.phrases(kind.name))
      for text in map(phrasebook.normal, texts):
        named[text].add(kind.name)
    return {text: frozenset(names) for text, names in named.items()}

  @functools.cached_property
  def longest(self) -> int:
    """Most words that one of `phrases` has."""
    return max(len(text.split()) for text in self.phrases)

  @functools.cached_property
  def _texts(self) -> Sequence[Sequence[str]]:
    """Name, example, phrases and descriptions of each kind, in normal form."""
    return [
      list(
        map(
          phrasebook.normal,
          (kind.name, kind.example, *phrasebook.every_phrasing(kind.name)),
        )
      )
      for kind in self.known.kinds
    ]

  @functools.cached_property
  def _index(self) -> "_Index":
    return _Index.of(self._texts)

  @functools.cached_property
  def _means(self) -> tuple[np.ndarray, np.ndarray]:
    """Mean word vectors [I, W] of all texts, and the kind of each, [I]."""
    texts = list(itertools.chain(*self._texts))
    kind_I = np.repeat(np.arange(len(self._texts)), list(map(len, self._texts)))
    return self._index.means(texts, self.word_vectors), kind_I


def _highest(value_I: np.ndarray, kind_I: np.ndarray, size: int) -> np.ndarray:
  """The highest value of each kind, [O]; -1 of one that has none."""
  highest_O = np.full(size, -1.0)
  np.maximum.at(highest_O, kind_I, value_I)
  return highest_O


@dataclasses.dataclass(frozen=True)
class _Index:
  """TF-IDF of the words of all kinds (Salton and Buckley 1988).

  Texts are in normal form.

  Attributes:
    size: number of kinds.
    weights: by stem, and then by kind; of length one for each kind.
  """

  size: int
  weights: Mapping[str, Mapping[int, float]]

  @classmethod
  def of(cls, texts: Sequence[Sequence[str]]) -> "_Index":
    """Of the texts of each kind."""
    stems = [_stems(" ".join(own)) for own in texts]
    count = collections.Counter(itertools.chain(*stems))
    rarity = {stem: _rarity(n, len(texts)) for stem, n in count.items()}
    weights: dict[str, dict[int, float]] = collections.defaultdict(dict)
    for kind, own in enumerate(stems):
      for stem, weight in _weighted(own, rarity).items():
        weights[stem][kind] = weight
    return cls(len(texts), dict(weights))

  def cosines(self, text: str) -> np.ndarray:
    """With the words of each kind, [O]; unknown words count as the rarest."""
    cosine_O, stems = np.zeros(self.size), _stems(text)
    rarity = {stem: self.rarity(stem) for stem in stems}
    for stem, weight in _weighted(stems, rarity).items():
      for kind, own in self.weights.get(stem, {}).items():
        cosine_O[kind] += weight * own
    return cosine_O

  def means(
    self,
    texts: Sequence[str],
    word_vectors: Callable[[Sequence[str]], np.ndarray],
  ) -> np.ndarray:
    """Means of the word vectors of texts, [I, W], of length one.

    Words are weighted by their rarity. Without words, the mean is zero.
    """
    words = [text.split() for text in texts]
    every, word_N = np.unique(
      list(itertools.chain(*words)), return_inverse=True
    )
    rarity_U = np.array([self.rarity(_stem(word)) for word in every])
    ends_I = np.cumsum([0, *map(len, words)])
    weights_IxU = sparse.csr_array(
      (rarity_U[word_N], word_N, ends_I), shape=(len(texts), len(every))
    )
    return of_length_one(weights_IxU @ word_vectors(every.tolist()))

  def rarity(self, stem: str) -> float:
    return _rarity(len(self.weights.get(stem, {})), self.size)


def _rarity(kinds: int, of: int) -> float:
  """Inverse document frequency of a word that `kinds` kinds have."""
  return math.log((1 + of) / (1 + kinds)) + 1


def _weighted(
  stems: Mapping[str, int], rarity: Mapping[str, float]
) -> dict[str, float]:
  """TF-IDF by stem, of length one.

  Args:
    stems: how often each occurs.
    rarity: of each.
  """
  weights = {
    stem: (1 + math.log(times)) * rarity[stem] for stem, times in stems.items()
  }
  length = math.hypot(*weights.values())
  return {stem: weight / length for stem, weight in weights.items()}


def _stems(text: str) -> collections.Counter[str]:
  """How often each word occurs, whatever its ending."""
  stems = collections.Counter[str]()
  for word, times in collections.Counter(text.split()).items():
    stems[_stem(word)] += times
  return stems


def _stem(word: str) -> str:
  """Without common endings."""
  return _ENDING.sub("", word)
