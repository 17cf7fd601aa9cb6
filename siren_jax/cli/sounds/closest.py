"""The message for a prompt that is unlike all training data."""

from collections.abc import Sequence
from typing import Any

from siren_jax.cli import runtime


def report_far_prompts(
  siren: Any, prompts: Sequence[str]
) -> dict[str, list[str]]:
  """Warns of prompts that are far from all training data.

  Returns, raises: see `far_prompts`.
  """
  closest_by_prompt = far_prompts(siren, prompts)
  for prompt, examples in closest_by_prompt.items():
    runtime.print_status(warning(prompt, examples))
  return closest_by_prompt


def far_prompts(siren: Any, prompts: Sequence[str]) -> dict[str, list[str]]:
  """Finds prompts that are far from all training data.

  Without a repertoire in the bundle, there are none.

  Returns:
    Examples of the closest sounds for each such prompt.

  Raises:
    UserError: a prompt is blank.
  """
  from siren_jax.api import requests

  if siren.bundle.repertoire is None or not prompts:
    return {}
  near = {
    prompt: siren.closest(prompt)
    for prompt in dict.fromkeys(requests.checked_prompts(prompts))
  }
  return {
    prompt: [kind.example for kind in known.kinds]
    for prompt, known in near.items()
    if known.is_far
  }


def warning(prompt: str, examples: Sequence[str]) -> str:
  """The warning about a prompt that is far from all training data."""
  return (
    f"closest sounds I know: {', '.join(examples)} (I know nothing like"
    f' "{prompt}")'
  )
