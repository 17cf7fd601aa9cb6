"""The config.json of a work directory: the settings of its run.

A resumed run must have the same settings, except those that do not change what
is learned.
"""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from siren_jax.common.errors import UserError
from siren_jax.common.files import read_json, replacing
from siren_jax.storage import folders, old_settings
from siren_jax.storage.fingerprint import short

# Settings, including all below them, that a resumed run may change: they do not
# change what is learned. (`execution.dtype` does, through rounding.)
_FREE = (
  "data.reading",
  "execution.expert_loop",
  "execution.remat",
  "execution.scan_layers",
  "generate",
  "mesh",
  "train.checkpoint_every",
  "train.eval_batches",
  "train.eval_every",
  "train.keep",
  "train.log_every",
  "train.profile",
  "train.samples",
  "train.steps",
)
INPUTS = "inputs"  # section of fingerprints, by the setting that names the data


def record(
  workdir: pathlib.Path, config: Mapping[str, Any], resumed: bool
) -> str:
  """Writes `workdir`/config.json; a resumed run must have the same config.

  Returns:
    The differences from the run's config, see `check`.
  """
  changed = check(workdir, config) if resumed else ""
  with replacing(workdir / folders.CONFIG) as file:
    file.write((json.dumps(config, indent=2) + "\n").encode())
  return changed


def check(workdir: pathlib.Path, config: Mapping[str, Any]) -> str:
  """Checks that the run in `workdir` can resume with this config.

  Lengths, intervals and the mesh may differ. So may the path of an input whose
  fingerprint (in `config["inputs"]`) is the same.

  Returns:
    A message about the differences; "" without any.

  Raises:
    UserError: something else differs (the message names it), or the run's
      config.json cannot be read.
  """
  before = recorded(workdir)
  known, inputs = before.pop(INPUTS, None), dict(config.get(INPUTS, {}))
  old, new = dict(_leaves(before)), dict(_leaves(_as_read(config)))
  new = {k: v for k, v in new.items() if not k.startswith(f"{INPUTS}.")}
  for name in (known or {}).keys() & inputs.keys():
    if known[name] != inputs[name]:
      raise UserError(
        f"config {name}={new[name]!r} has different contents"
        f" ({short(inputs[name])}): {workdir} was trained with"
        f" {old.get(name)!r} ({short(known[name])}); use that again, or"
        " choose another work directory"
      )
  changes = []
  for name in sorted(old.keys() | new.keys()):
    if old.get(name) == new.get(name):
      continue
    if not (_is_free(name) or (name in inputs and name in (known or {}))):
      raise UserError(
        f"config {name}={new.get(name)!r} but {workdir} was trained with"
        f" {old.get(name)!r}; use that value or another work directory"
      )
    changes.append(f"{name}={new.get(name)!r} (was {old.get(name)!r})")
  notes = [f"resumed with {', '.join(changes)}"] if changes else []
  if inputs and known is None:
    notes.append(
      f"{workdir} kept no fingerprint of {', '.join(sorted(inputs))}: it is not"
      " known whether they have changed; they are checked from now on"
    )
  return "; ".join(notes)


def recorded(workdir: pathlib.Path) -> dict[str, Any]:
  """The config of the run in `workdir`, as last started or resumed.

  Old names of settings are replaced, and settings added later are filled in.

  Raises:
    UserError: its config.json is missing or broken.
  """
  path = workdir / folders.CONFIG
  remedy = (
    f"copy {workdir}/checkpoints/STEP/config/metadata, which has the same"
    " content, to it"
  )
  values = read_json(path, remedy)
  if not isinstance(values, dict):
    raise UserError(f"{path}: not a JSON object; {remedy}")
  return old_settings.completed(old_settings.renamed(values))


def _is_free(name: str) -> bool:
  return any(name == free or name.startswith(f"{free}.") for free in _FREE)


def _as_read(config: Mapping[str, Any]) -> Any:
  """The config as read back from JSON, with lists for tuples."""
  return json.loads(json.dumps(config))


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
  """(dotted path, value) of all that is not a dictionary."""
  if not isinstance(tree, Mapping):
    yield path, tree
    return
  for key, value in tree.items():
    yield from _leaves(value, f"{path}.{key}" if path else key)
