"""Prompt expansion: unusual prompts in words of the captions (our design).

Experts trained on a few recordings of each kind follow the captions of their
training much better than other words (docs/training.md).
"""

import re

import numpy as np

from siren_jax.data.captions import phrasebook, stated
from siren_jax.weights.nearest import KindSearch
from siren_jax.weights.repertoire import cosines, soft_maximum

# Chosen on held-out phrasings, and pairs of them (docs/training.md).
_SEVERAL = 0.08  # soft maximum by which one kind may beat captions of several
_NEAR = 0.35  # score of a part that names a sound
_LESS = 0.1  # score by which each part may be less near than the whole
_JOIN = re.compile(
  r"(\s*[,;.]\s+(?:and then |and |then |plus )?"
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
  if not len(search.known.several_IxE) or _is_caption(prompt, search):
    return prompt
  parts = _sounds(prompt, search)
  if not _are_several(prompt, parts[::2], search):
    return _caption(prompt, search)
  parts[::2] = [
    text if _is_caption(text, search) else _caption(text, search)
    for text in parts[::2]
  ]
  return "".join(parts)


def _is_caption(text: str, search: KindSearch) -> bool:
  """Whether it is made of known phrases and words of caption templates."""
  words, longest = phrasebook.normal(text).split(), search.longest
  is_named, first = False, 0
  while first < len(words):
    for last in range(min(first + longest, len(words)), first, -1):
      if " ".join(words[first:last]) in search.phrases:
        is_named, first = True, last
        break
    else:
      if words[first] not in phrasebook.template_words():
        return False
      first += 1
  return is_named


def _caption(text: str, search: KindSearch) -> str:
  """Example of the nearest kind, and the facts that the text states."""
  (kind,) = search.closest(text, 1)
  facts = stated.in_captions(text, kind.name)
  return ", ".join((kind.example, *facts))


def _sounds(prompt: str, search: KindSearch) -> list[str]:
  """Texts of sounds, in turn with what joins them.

  What names no sound of its own belongs to the text before it.
  """
  first, *others = _JOIN.split(prompt)
  parts = [first]
  for join, text in zip(others[::2], others[1::2], strict=True):
    before_O, score_O = search.scores(parts[-1]), search.scores(text)
    is_near = min(before_O.max(), score_O.max()) >= _NEAR
    if is_near and before_O.argmax() != score_O.argmax():
      parts += [join, text]
    else:
      parts[-1] += join + text
  return parts


def _are_several(prompt: str, sounds: list[str], search: KindSearch) -> bool:
  """Whether these parts of a prompt are better read as sounds of their own."""
  if len(sounds) < 2:
    return False
  if all(_is_caption(text, search) for text in sounds):
    return True
  known, text_E = search.known, search.embed(prompt)
  one = soft_maximum(
    np.append(
      cosines(known.known_IxE, text_E), cosines(known.described_IxE, text_E)
    )
  )
  if one - soft_maximum(cosines(known.several_IxE, text_E)) >= _SEVERAL:
    return False
  whole = search.scores(prompt).max()
  return min(search.scores(text).max() for text in sounds) >= whole - _LESS
