"""Reads the JSON file of a sound, to reproduce that sound."""

import dataclasses
import os
from typing import Any

import siren_jax
from siren_jax.cli.sounds.recordings import Recording
from siren_jax.common import config as configs
from siren_jax.common import files
from siren_jax.common.errors import UserError, about
from siren_jax.storage import fingerprint, folders

_REMEDY = "give the JSON file that siren-jax generate put beside a sound"


@dataclasses.dataclass(frozen=True)
class Settings:
  """How a sound was drawn: `SamplingConfig`, and the number of candidates."""

  temperature: float
  top_k: int | None
  top_p: float | None
  guidance: float | None
  greedy: bool = False
  candidates: int = 1


@dataclasses.dataclass(frozen=True)
class Facts:
  """Content of the JSON file of a sound.

  Fields with a default were added later; the default is the earlier behaviour.
  `recording`: the source recording, if there is one.
  """

  prompt: str
  seed: int
  seconds: float
  settings: Settings
  model: str
  version: str
  sample: int = 0
  loudness: float | None = None
  recording: Recording | None = None
  mesh: str | None = None
  batch_size: int | None = None
  dtype: str = "float32"
  expand: bool = False
  expanded_prompt: str | None = None
  model_path: str | None = None
  model_fingerprint: str | None = None
  sample_rate: int | None = None
  clap_score: float | None = None
  closest: tuple[str, ...] | None = None
  command: str = ""


def read(path: str | os.PathLike) -> Facts:
  """The facts in a JSON file of `generate`.

  Raises:
    UserError: not such a file, or a fact is missing, of another type or unknown
      to this version of siren-jax; the message names it.
  """
  values = files.read_json(path, _REMEDY)
  if not isinstance(values, dict) or "prompt" not in values:
    raise UserError(f"{path}: does not say how a sound was made; {_REMEDY}")
  try:
    _check_names(values, Facts)
    groups: dict[str, type] = {"settings": Settings, "recording": Recording}
    for group, cls in groups.items():
      if isinstance(values.get(group), dict):
        _check_names(values[group], cls, f"{group}.")
    prompt, expanded = values["prompt"], values.get("expanded_prompt")
    if not isinstance(prompt, str):
      raise UserError(f"prompt={prompt!r}: expected a string")
    if not isinstance(expanded, str | None):
      raise UserError(f"expanded_prompt={expanded!r}: expected a string")
    # A prompt may look like a URL, which is refused in configs.
    texts = {"prompt": "", "expanded_prompt": None, "command": ""}
    rest = configs.from_dict(Facts, values | texts)
    return dataclasses.replace(rest, prompt=prompt, expanded_prompt=expanded)
  except UserError as error:
    raise UserError(f"{path}: {error}; {_REMEDY}") from error


def _check_names(values: dict[str, Any], cls: type, group: str = "") -> None:
  fields: Any = dataclasses.fields(cls)
  for field in fields:
    if field.default is dataclasses.MISSING and field.name not in values:
      raise UserError(f"{group}{field.name} is missing")
  for name in values:
    if name not in [field.name for field in fields]:
      raise UserError(
        f"{group}{name} is unknown to siren-jax {siren_jax.__version__}"
        " (another version may know it)"
      )


def model_of(
  path: str | os.PathLike, facts: Facts, given: str | None
) -> tuple[str, tuple[str, ...]]:
  """The model that made the sound, and notes on possible differences.

  Args:
    path: of the JSON file, for messages.
    given: new location of the model; None: unchanged.

  Raises:
    UserError: the model is missing, or is another one.
  """
  model = given or facts.model_path or facts.model
  with about(path):
    folder = folders.find(model)
  notes = []
  if facts.model_fingerprint is None:
    notes.append("does not say which weights made it")
  elif facts.model_fingerprint != (now := folders.model_fingerprint(folder)):
    raise UserError(
      f"{path}: made by {facts.model} (fingerprint"
      f" {fingerprint.short(facts.model_fingerprint)}), but {folder} has"
      f" fingerprint {fingerprint.short(now)}; set --model to the model that"
      " made it"
    )
  if facts.version != siren_jax.__version__:
    notes.append(
      f"made by siren-jax {facts.version}, this is {siren_jax.__version__}"
    )
  return model, tuple(f"{path}: {n}: the sound may differ" for n in notes)
