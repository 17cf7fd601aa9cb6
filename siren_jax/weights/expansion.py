"""Prompt expansion: unusual prompts in words of the captions (our design).

Experts trained on a few recordings of each kind follow the captions of their
training much better than other words (docs/training.md). The words of a prompt
and its place in the text tower's space tell what it is.
"""

import functools
from collections.abc import Mapping, Sequence, Set

import numpy as np

from siren_jax.data.captions import phrasebook
from siren_jax.weights.repertoire import Repertoire, cosines, soft_maximum

# Chosen on the first held-out phrasing of each kind (docs/training.md).
_SAME_WORDS = 0.95  # cosine from which a prompt is a known phrase
_CLOSE = 0.7  # cosine from which a description may be of a kind
_DESCRIBED, _SEVERAL = -0.01, 0.08  # differences of soft maxima


def expanded(prompt: str, text_E: np.ndarray, known: Repertoire) -> str:
  """The prompt, an example of the nearest kind, or the one after the other.

  Known phrases and prompts of several sounds stay as they are. A description
  that avoids the name of its kind ("the bird that wakes the farm") becomes the
  kind's example ("a rooster crowing"). Other prompts follow the example. Only
  embeddings tell these two apart, and the kind is not always the right one.

  Args:
    prompt: of a sound.
    text_E: its embedding, of length one.
    known: the kinds. Without captions of several sounds, as in older bundles
      and with a single kind, nothing is expanded.
  """
  if not len(known.several_IxE):
    return prompt
  phrases = _phrases(tuple((kind.name, kind.example) for kind in known.kinds))
  phrase_I = cosines(known.known_IxE, text_E)
  if (
    phrasebook.normal(prompt) in phrases
    or _names_several(prompt, phrases)
    or phrase_I.max() >= _SAME_WORDS
  ):
    return prompt
  described_I = cosines(known.described_IxE, text_E)
  several_I = cosines(known.several_IxE, text_E)
  one_I = np.append(phrase_I, described_I)
  named = soft_maximum(np.append(phrase_I, several_I))
  is_described = (
    described_I.max(initial=-1) >= _CLOSE
    and soft_maximum(described_I) - named > _DESCRIBED
  )
  is_of_several = soft_maximum(one_I) - soft_maximum(several_I) < _SEVERAL
  kind_I = np.append(known.kind_I, known.described_kind_I)
  example = known.kinds[kind_I[one_I.argmax()]].example
  if is_described == is_of_several:  # neither, or it may be either
    return f"{example}, {prompt}"
  return example if is_described else prompt


@functools.cache
def _phrases(
  kinds: Sequence[tuple[str, str]],
) -> Mapping[str, Set[str]]:
  """Kinds by what they are called, in normal form.

  Args:
    kinds: name and example of each.
  """
  named: dict[str, set[str]] = {}
  for name, example in kinds:
    for text in (name, example, *phrasebook.phrases(name)):
      named.setdefault(phrasebook.normal(text), set()).add(name)
  return named


def _names_several(prompt: str, phrases: Mapping[str, Set[str]]) -> bool:
  """Whether a prompt contains phrases that have no kind in common."""
  words = phrasebook.normal(prompt).split()
  longest = max(len(phrase.split()) for phrase in phrases)
  found: list[Set[str]] = []
  first = 0
  while first < len(words):
    for last in range(min(first + longest, len(words)), first, -1):
      if kinds := phrases.get(" ".join(words[first:last])):
        found.append(kinds)
        break
    else:
      last = first + 1
    first = last
  return any(a.isdisjoint(b) for a in found for b in found)
