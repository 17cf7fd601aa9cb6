"""Prompt expansion: unusual prompts in words of the captions (our design).

Experts trained on a few recordings of each kind follow the captions of their
training much better than other words (docs/training.md).
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from siren_jax.data.captions import phrasebook
from siren_jax.weights import nearest
from siren_jax.weights.repertoire import Repertoire, cosines, soft_maximum

# Chosen on the first two held-out phrasings of each kind (docs/training.md).
_SAME = 0.95  # cosine of texts that mean the same
_LEAD = 0.2  # score by which a kind beats those that the prompt names
_SEVERAL = 0.08  # difference of soft maxima
_JOINING = frozenset(
  "after and before followed over plus then while with".split()
)


def expanded(prompt: str, text_E: np.ndarray, known: Repertoire) -> str:
  """The prompt, an example of the nearest kind, or the one after the other.

  Known phrases, in words of the captions, and prompts of several sounds stay as
  they are. A description that avoids the names of its kind ("the bird that
  wakes the farm") becomes the kind's example ("a rooster crowing"), and so do
  unknown words, which the experts would not follow. Prompts that name kinds or
  may say more, such as how loud it is, follow the example. The kind (`nearest`)
  is not always right.

  Args:
    prompt: of a sound.
    text_E: its embedding, of length one.
    known: the kinds. Without captions of several sounds, as in older bundles
      and with a single kind, nothing is expanded.
  """
  if not len(known.several_IxE):
    return prompt
  phrases = _phrases(nearest.called(known))
  words = phrasebook.normal(prompt)
  named, others = _parsed(words, phrases)
  is_joined = "," in prompt or bool(others & _JOINING)
  names_several = any(a.isdisjoint(b) for a in named for b in named)
  if words in phrases or (is_joined and names_several):
    return prompt
  phrase_I = cosines(known.known_IxE, text_E)
  described_I = cosines(known.described_IxE, text_E)
  score_O = nearest.scores(prompt, phrase_I, described_I, known)
  kind = known.kinds[score_O.argmax()]
  closest = known.kinds[known.kind_I[phrase_I.argmax()]]
  names = frozenset().union(*named)
  if (kind.name in names and others <= phrasebook.template_words()) or (
    closest.name in names and phrase_I.max() >= _SAME
  ):
    return prompt
  one = soft_maximum(np.append(phrase_I, described_I))
  several = soft_maximum(cosines(known.several_IxE, text_E))
  if is_joined and one - several < _SEVERAL:
    return prompt
  rival_O = np.where([k.name in names for k in known.kinds], score_O, -np.inf)
  is_sure = score_O.max() >= rival_O.max() + _LEAD
  says_more = is_joined or names_several or phrasebook.states_facts(prompt)
  if is_sure and not says_more:
    return kind.example
  return f"{kind.example}, {prompt}"


@functools.cache
def _phrases(
  kinds: Sequence[tuple[str, str]],
) -> Mapping[str, frozenset[str]]:
  """Kinds by what they are called, in normal form.

  Args:
    kinds: name and example of each.
  """
  named: dict[str, set[str]] = {}
  for name, example in kinds:
    for text in (name, example, *phrasebook.phrases(name)):
      named.setdefault(phrasebook.normal(text), set()).add(name)
  return {text: frozenset(names) for text, names in named.items()}


def _parsed(
  text: str, phrases: Mapping[str, frozenset[str]]
) -> tuple[set[frozenset[str]], set[str]]:
  """Kinds of each phrase in a text, long phrases first, and other words."""
  words, longest = text.split(), max(len(p.split()) for p in phrases)
  named, others, first = set[frozenset[str]](), set[str](), 0
  while first < len(words):
    for last in range(min(first + longest, len(words)), first, -1):
      if kinds := phrases.get(" ".join(words[first:last])):
        named.add(kinds)
        break
    else:
      last = first + 1
      others.add(words[first])
    first = last
  return named, others
