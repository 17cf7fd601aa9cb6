"""The line of `generate` about a prompt that a model knows nothing like."""

from collections.abc import Sequence
from typing import Any

from siren_jax.cli import runtime


def say_far(siren: Any, prompts: Sequence[str]) -> dict[str, list[str]]:
  """Says which prompts are far from all that the model was trained on.

  Of a bundle that does not say what that was, nothing is said.

  Returns:
    Examples of the closest sounds, for each such prompt.

  Raises:
    UserError: a prompt is blank.
  """
  from siren_jax.api import requests

  if siren.bundle.repertoire is None or not prompts:
    return {}
  far = {}
  for prompt in dict.fromkeys(requests.checked_prompts(prompts)):
    near = siren.closest(prompt)
    if near.is_far:
      far[prompt] = [kind.example for kind in near.kinds]
      runtime.say(
        f"closest sounds I know: {', '.join(far[prompt])} (I know nothing like"
        f' "{prompt}")'
      )
  return far
