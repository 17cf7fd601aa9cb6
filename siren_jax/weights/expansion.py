"""Prompt expansion: unusual prompts in words of the captions (our design).

Experts trained on a few recordings of each kind follow the captions of their
training much better than other words (docs/training.md).
"""

import dataclasses
import re

import numpy as np

from siren_jax.data.captions import phrasebook, stated
from siren_jax.weights.nearest import KindSearch
from siren_jax.weights.repertoire import Kind, cosines, soft_maximum

# Chosen on pairs of the prompts in benchmarks/prompts, and on single ones.
_SEVERAL = 0.08  # soft maximum by which one kind may beat captions of several
_LESS = 0.1  # score by which a part may be less near than the whole
_NEAR = 0.5  # least score of a part that names a sound
_JOIN = re.compile(
  r"(\s*[,;.]\s+(?:and then |and |then |plus )?|\s+[&+/]\s+|\s*\n\s*"
  r"|\s+(?:and then|followed by|and|then|while|with|over|plus|as|before|after)"
  r"\s+)",
  re.IGNORECASE,
)


def expanded(prompt: str, search: KindSearch) -> str:
  """The prompt in words of the training captions.

  Known phrases, in words of the captions, stay as they are. Another prompt
  becomes the example of its nearest kind ("the bird that wakes the farm": "a
  rooster crowing") with the facts that it states ("a rooster crowing, in the
  distance"); of several sounds, each does. The nearest kind is not always
  right.

  Args:
    prompt: of a sound.
    search: over the kinds. Without captions of several sounds, as in older
      bundles and with a single kind, nothing is expanded.
  """
  if not len(search.known.several_IxE) or not phrasebook.normal(prompt):
    return prompt
  if _is_caption(prompt, search):
    return prompt
  parts = _parts(prompt, search)
  if not _are_several(prompt, parts, search):
    (kind,) = search.closest(prompt, 1)
    return _caption(prompt, kind)
  return "".join(
    part.join
    + (
      part.text
      if part.kind is None or _is_caption(part.text, search)
      else _caption(part.text, part.kind)
    )
    for part in parts
  )


def _caption(text: str, kind: Kind) -> str:
  """Example of the kind, and the facts that the text states."""
  return ", ".join((kind.example, *stated.in_captions(text, kind.name)))


@dataclasses.dataclass
class _Part:
  """A part of a prompt.

  Attributes:
    join: what comes before it: ", then ".
    text: of a sound.
    kind: nearest to the words that name the sound; None only of a single part.
  """

  join: str
  text: str
  kind: Kind | None


def _parts(prompt: str, search: KindSearch) -> list[_Part]:
  """The sounds of a prompt; one part if there is only one.

  What names no sound of its own belongs to the text before it, or after it at
  the beginning.
  """
  first, *others = _JOIN.split(prompt)
  if not others:
    return [_Part("", first, None)]
  enough = max(search.scores(prompt).max() - _LESS, _NEAR)

  def nearest(text: str) -> Kind | None:
    """The kind, if the text names one about as well as the prompt does."""
    words = phrasebook.normal(text).split()
    if phrasebook.template_words().issuperset(words):
      return None
    score_O = search.scores(text)
    kind = search.known.kinds[score_O.argmax()]
    return kind if score_O.max() >= enough else None

  parts = [_Part("", first, nearest(first))]
  for join, text in zip(others[::2], others[1::2], strict=True):
    last, kind = parts[-1], nearest(text)
    if kind and last.kind and kind is not last.kind:
      parts.append(_Part(join, text, kind))
    else:
      last.text += join + text
      last.kind = last.kind or nearest(last.text)
  return parts


def _are_several(prompt: str, parts: list[_Part], search: KindSearch) -> bool:
  """Whether these parts of a prompt are better read as sounds of their own."""
  if len(parts) < 2:
    return False
  named = [_named(part.text, search)[0] for part in parts]
  if all(named) and sum(map(len, named)) == len(frozenset().union(*named)):
    return True
  known, text_E = search.known, search.embed(prompt)
  one = soft_maximum(
    np.append(
      cosines(known.known_IxE, text_E), cosines(known.described_IxE, text_E)
    )
  )
  return one - soft_maximum(cosines(known.several_IxE, text_E)) < _SEVERAL


def _is_caption(text: str, search: KindSearch) -> bool:
  """Whether it is made of known phrases and words of caption templates."""
  kinds, others = _named(text, search)
  return bool(kinds) and others <= phrasebook.template_words()


def _named(text: str, search: KindSearch) -> tuple[frozenset[str], set[str]]:
  """Kinds of all phrases in a text, long ones first, and the other words."""
  words, kinds = phrasebook.normal(text).split(), frozenset[str]()
  others, first = set[str](), 0
  while first < len(words):
    for last in range(min(first + search.longest, len(words)), first, -1):
      if named := search.phrases.get(" ".join(words[first:last])):
        kinds |= named
        break
    else:
      last = first + 1
      others.add(words[first])
    first = last
  return kinds, others
