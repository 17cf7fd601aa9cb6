"""Contents of a sound's JSON file: how it was made, and the command."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import siren_jax
from siren_jax.cli import runtime
from siren_jax.cli.sounds.recordings import Recording


@dataclasses.dataclass(frozen=True)
class Call:
  """Arguments shared by all sounds of a call.

  Attributes:
    model: the bundle; None is the default one.
    fingerprint: of its weights, as they were loaded.
    seed: of all sounds.
    seconds: of each, or of the continuation of a recording.
    loudness: target in LUFS; None: unchanged.
    recording: the source, with its fingerprint; None: no recording.
    mesh: axes and sizes; None: one device.
    batch_size: sounds drawn at a time.
  """

  model: str | None
  fingerprint: str
  seed: int
  seconds: float
  loudness: float | None
  recording: Recording | None
  mesh: str | None
  batch_size: int


def of_call(
  siren: Any, call: Call, options: Mapping[str, Any], has_words: bool
) -> dict[str, Any]:
  """Facts shared by the JSON files of all sounds of a call.

  Args:
    siren: the `api.Siren` that generates them.
    options: given candidates and sampling settings.
    has_words: whether there is a prompt.
  """
  names = [field.name for field in dataclasses.fields(siren.bundle.sampling)]
  settings = {k: v for k, v in options.items() if k in names}
  if not has_words:
    settings["guidance"] = None  # no guidance without a prompt
  recording = call.recording
  return {
    "sample_rate": siren.sample_rate,
    "settings": dataclasses.asdict(siren.sampling_config(**settings))
    | {"candidates": siren.num_candidates(options.get("candidates"))},
    "model": siren.bundle.name,
    "model_path": call.model,
    "model_fingerprint": call.fingerprint,
    "version": siren_jax.__version__,
    "seed": call.seed,
    "seconds": call.seconds,
    "loudness": call.loudness,
    "recording": recording and dataclasses.asdict(recording),
    "mesh": call.mesh,
    "batch_size": call.batch_size,
    "dtype": siren.bundle.execution.dtype,
    "expand": siren.expands,
  }


def of_sound(
  siren: Any,
  common: Mapping[str, Any],
  prompt: str,
  sample: int,
  clap_score: float | None,
  closest: Sequence[str] | None,
) -> dict[str, Any]:
  """Facts for the JSON file of one sound.

  Args:
    siren: that generated it.
    common: from `of_call`.
    prompt, sample, clap_score: see `api.Sound`.
    closest: closest sounds of the model, if the prompt is far from all.
  """
  facts = {
    "prompt": prompt,
    "expanded_prompt": siren.expanded(prompt) if prompt else None,
    "sample": sample,
    "clap_score": clap_score,
    **common,
    "closest": closest,
  }
  return facts | {"command": _command(facts)}


def _command(facts: Mapping[str, Any]) -> str:
  """The command that reproduces this sound."""
  settings = facts["settings"]
  recording = facts["recording"] and Recording(**facts["recording"])
  values = {
    "model": facts["model_path"] or facts["model"],
    "seconds": facts["seconds"],
    "seed": facts["seed"],
    "sample": facts["sample"],
    "candidates": settings["candidates"],
    # Without the flag, the setting of the model would hold.
    **{name: _or_none(settings[name]) for name in runtime.SAMPLING_FLAGS},
    "loudness": _or_none(facts["loudness"]),
    "mesh": facts["mesh"],
    "batch_size": facts["batch_size"],
    "dtype": facts["dtype"],
  }
  words = ["siren-jax", "generate"]
  if recording:
    words += recording.flags()
    if recording.verb != "continue":
      del values["seconds"]
  for name, value in values.items():
    if value is not None:
      words.append(f"--{name.replace('_', '-')}={value}")
  if not facts["expand"]:
    words.append("--no-expand")
  if facts["prompt"]:
    words += ["--", facts["prompt"]]
  return shlex.join(words)


def _or_none(value: float | None) -> float | str:
  return runtime.NONE if value is None else value
