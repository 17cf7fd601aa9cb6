"""Prompt expansion: unusual prompts in words of the captions (our design).

Experts trained on a few recordings of each kind follow the captions of their
training much better than other words (docs/training.md).
"""

import functools
from collections.abc import Mapping, Sequence, Set

import numpy as np

from siren_jax.data.captions import phrasebook
from siren_jax.weights import nearest
from siren_jax.weights.repertoire import Repertoire, cosines, soft_maximum

# Chosen on the first held-out phrasing of each kind (docs/training.md).
_SAME_WORDS = 0.95  # cosine from which a prompt is a known phrase
_SURE = 1.1  # score of a kind from which its example may replace a prompt
_SEVERAL = 0.08  # difference of soft maxima
_JOINING = frozenset(("then", "followed", "while"))


def expanded(prompt: str, text_E: np.ndarray, known: Repertoire) -> str:
  """The prompt, an example of the nearest kind, or the one after the other.

  Prompts in words of the captions and prompts of several sounds stay as they
  are. A description that avoids the names of its kind ("the bird that wakes the
  farm") becomes the kind's example ("a rooster crowing"), unless the kind is
  unsure, or captions could say more of the prompt, such as how loud it is.
  Other prompts follow the example. The kind (`nearest`) is not always right.

  Args:
    prompt: of a sound.
    text_E: its embedding, of length one.
    known: the kinds. Without captions of several sounds, as in older bundles
      and with a single kind, nothing is expanded.
  """
  if not len(known.several_IxE):
    return prompt
  phrases = _phrases(tuple((kind.name, kind.example) for kind in known.kinds))
  words = phrasebook.normal(prompt)
  named, others = _parsed(words, phrases)
  phrase_I = cosines(known.known_IxE, text_E)
  if (
    (named and others <= phrasebook.template_words())
    or any(a.isdisjoint(b) for a in named for b in named)
    or phrase_I.max() >= _SAME_WORDS
  ):
    return prompt
  score_O = nearest.scores(prompt, text_E, known)
  kind = known.kinds[score_O.argmax()]
  is_named = any(
    kind.name in kinds and f" {phrase} " in f" {words} "
    for phrase, kinds in phrases.items()
  )
  one = soft_maximum(np.append(phrase_I, cosines(known.described_IxE, text_E)))
  several = soft_maximum(cosines(known.several_IxE, text_E))
  is_of_several = one - several < _SEVERAL
  is_unsure = is_named or score_O.max() < _SURE or bool(_JOINING & others)
  if is_of_several and is_unsure:
    return prompt
  if is_of_several or is_unsure or others & phrasebook.fact_words():
    return f"{kind.example}, {prompt}"
  return kind.example


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


def _parsed(
  text: str, phrases: Mapping[str, Set[str]]
) -> tuple[list[Set[str]], set[str]]:
  """Kinds of each phrase in a text, long phrases first, and other words."""
  words, longest = text.split(), max(len(p.split()) for p in phrases)
  named, others, first = list[Set[str]](), set[str](), 0
  while first < len(words):
    for last in range(min(first + longest, len(words)), first, -1):
      if kinds := phrases.get(" ".join(words[first:last])):
        named.append(kinds)
        break
    else:
      last = first + 1
      others.add(words[first])
    first = last
  return named, others
