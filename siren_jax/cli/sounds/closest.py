"""Messages about prompts that are unlike the training captions."""

from collections.abc import Mapping, Sequence
from typing import Any

from siren_jax.cli import runtime


def report(
  siren: Any, prompts: Sequence[str], expanded_before: str | None = None
) -> dict[str, list[str]]:
  """Reports prompts that are expanded, or far from all training data.

  Args:
    expanded_before: of the prompt, in an earlier call.

  Returns, raises: see `far_prompts`.
  """
  from siren_jax.api import requests

  closest_by_prompt = far_prompts(siren, prompts)
  checked = requests.checked_prompts(prompts) if prompts else []
  for prompt in dict.fromkeys(checked):
    if (expanded := siren.expanded(prompt)) != prompt:
      # With --again, the JSON file says whether to expand.
      remedy = "" if expanded_before else "; --no-expand leaves it as it is"
      runtime.print_status(f"{expansion(prompt, expanded)}{remedy}")
    if expanded_before not in (None, expanded):
      runtime.print_status(
        f'was expanded to "{expanded_before}" before: the sound may differ'
      )
    if prompt in closest_by_prompt:
      runtime.print_status(warning(prompt, closest_by_prompt[prompt]))
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


def remarks(facts: Mapping[str, Any]) -> list[str]:
  """What a sound's JSON file has to say about its prompt."""
  lines, prompt = [], facts["prompt"]
  if (expanded := facts["expanded_prompt"]) not in (None, prompt):
    lines.append(expansion(prompt, expanded))
  if facts["closest"]:
    lines.append(warning(prompt, facts["closest"]))
  return lines


def expansion(prompt: str, expanded: str) -> str:
  """Says that a prompt is expanded."""
  return f'prompt "{prompt}" expanded to "{expanded}"'


def warning(prompt: str, examples: Sequence[str]) -> str:
  """The warning about a prompt that is far from all training data."""
  return (
    f"closest sounds I know: {', '.join(examples)} (I know nothing like"
    f' "{prompt}")'
  )
