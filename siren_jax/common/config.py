"""Frozen dataclasses to plain dictionaries and back, strictly."""

import dataclasses
import difflib
import json
import math
import pathlib
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from siren_jax.common import paths
from siren_jax.common.errors import UserError, about
from siren_jax.common.files import read_json, replacing
from siren_jax.common.fingerprint import short

T = TypeVar("T")

# What float32 holds; smaller ones than TINY become 0 on most devices.
_HUGE, _TINY = 3.4028234e38, 1.1754944e-38
_MAX_SIZE = 1_000_000
_INTS = range(-(2**31), 2**32)  # int32, and the seeds of uint32
_NAME = "config.json"

# Settings that a resumed run may change, with all below them: they do not
# alter what was learned.
_FREE = (
  "generate",
  "mesh",
  "train.checkpoint_every",
  "train.eval_batches",
  "train.eval_every",
  "train.keep",
  "train.log_every",
  "train.profile",
  "train.steps",
)
INPUTS = "inputs"  # name of a setting: fingerprint of what is there


def to_dict(config: Any) -> dict[str, Any]:
  """Nested dataclass to nested plain dictionary (JSON ready)."""
  return dataclasses.asdict(config)


def from_dict(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
  """Builds dataclass `cls` from `values`; absent keys keep their defaults.

  Of a union of dataclasses, `values["kind"]` says which; the first by default.

  Raises:
    UserError: an unknown key (with the nearest known one), a missing key
      without a default, a value of the wrong type, a number that 32 bits do
      not hold, or a URL.
  """
  if not isinstance(values, Mapping):
    raise UserError(
      f"config {path.rstrip('.')}={values!r}: expected a group of settings"
    )
  cls = _of_kind(cls, values, path)
  fields = {f.name: f for f in dataclasses.fields(cls)}
  hints = typing.get_type_hints(cls)
  for key in values:
    if key not in fields:
      raise UserError(unknown_key(f"{path}{key}", key, list(fields)))
  kwargs = {
    key: _convert(hints[key], value, f"{path}{key}")
    for key, value in values.items()
  }
  try:
    return cls(**kwargs)
  except TypeError as error:
    raise UserError(f"config {path or cls.__name__}: {error}") from error


def _of_kind(cls: Any, values: Mapping[str, Any], path: str) -> Any:
  options = typing.get_args(cls)
  if not options:
    return cls
  kinds = {option.kind: option for option in options}
  kind = values.get("kind", options[0].kind)
  if kind not in list(kinds):  # It may be of any type.
    raise UserError(
      f"config {path}kind={kind!r}: known kinds are {', '.join(kinds)}"
    )
  return kinds[kind]


def unknown_key(full: str, key: str, known: list[str]) -> str:
  """The message about a key that is not among the `known` ones."""
  near = difflib.get_close_matches(key, known, n=1)
  hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
  return f"unknown config key {full!r}; {hint}"


def _convert(hint: Any, value: Any, path: str) -> Any:
  """Value as `hint`, where only lossless conversions are made."""
  origin = typing.get_origin(hint)
  if dataclasses.is_dataclass(hint):
    if isinstance(value, hint):
      return value
    if isinstance(value, Mapping):
      return from_dict(hint, value, f"{path}.")
    raise UserError(f"config {path}={value!r}: expected a group of settings")
  if origin in (types.UnionType, typing.Union):
    options = typing.get_args(hint)
    if value is None and type(None) in options:
      return None
    rest = [o for o in options if o is not type(None)]
    if all(map(dataclasses.is_dataclass, rest)) and isinstance(value, Mapping):
      return from_dict(hint, value, f"{path}.")
    if len(rest) == 1:
      return _convert(rest[0], value, path)
    return value
  if origin is tuple:
    if isinstance(value, str) or not isinstance(value, typing.Iterable):
      raise UserError(f"config {path}={value!r}: expected a list")
    items, values = typing.get_args(hint), tuple(value)
    if items[-1] is not Ellipsis and len(values) != len(items):
      raise UserError(f"config {path}={value!r}: expected {len(items)} values")
    return tuple(_convert(items[0], v, path) for v in values)
  return _scalar(hint, value, path)


def _scalar(hint: Any, value: Any, path: str) -> Any:
  if hint is int and isinstance(value, bool):
    raise UserError(f"config {path}={value!r}: expected an int")
  if isinstance(value, int | float):
    check_number(f"config {path}={value!r}", value)
  if hint is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  if hint in (int, float, str, bool) and not isinstance(value, hint):
    raise UserError(f"config {path}={value!r}: expected {hint.__name__}")
  if isinstance(value, str):
    with about(f"config {path}"):
      paths.local(value)  # Most texts are paths, and no other holds a URL.
  return value


def check_number(subject: str, value: int | float) -> None:
  """Refuses what becomes another number on a device, in 32 bits.

  Raises:
    UserError: a float is NaN, infinite, or overflows or vanishes as float32;
      or an int is too large. The message begins with `subject`.
  """
  if isinstance(value, int):
    if value not in _INTS:
      raise UserError(
        f"{subject}: must be at least {_INTS[0]} and at most {_INTS[-1]}"
      )
  elif not math.isfinite(value):
    raise UserError(f"{subject}: must be a finite number")
  elif value and not _TINY <= abs(value) <= _HUGE:
    raise UserError(
      f"{subject}: must be 0, or {_TINY:g} to {_HUGE:g} with either sign;"
      " float32 holds no other"
    )


def check_sizes(part: str, config: Any, **most: int) -> None:
  """Refuses sizes that no model has, before anything is built of them.

  Args:
    part: for the message.
    config: a dataclass; its ints, alone or in tuples, are sizes.
    **most: the largest of each field, where it is below a million.

  Raises:
    UserError: a size is below 1 or too large; the message names it.
  """
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    limit = most.get(field.name, _MAX_SIZE)
    for size in value if isinstance(value, tuple) else (value,):
      if type(size) is int and not 1 <= size <= limit:
        raise UserError(
          f"{part} {field.name}={value}: must be at least 1 and at most {limit}"
        )


def record(
  workdir: pathlib.Path, config: Mapping[str, Any], resumed: bool
) -> str:
  """Writes `workdir`/config.json; a resumed run must have the same config.

  Returns:
    What of it differs from the run's, see `check`.
  """
  changed = check(workdir, config) if resumed else ""
  with replacing(workdir / _NAME) as file:
    file.write((json.dumps(config, indent=2) + "\n").encode())
  return changed


def check(workdir: pathlib.Path, config: Mapping[str, Any]) -> str:
  """Refuses to go on with another config than that of the run in `workdir`.

  Lengths, intervals and the mesh may differ. So may the path of an input whose
  fingerprint (in `config["inputs"]`) is the same.

  Returns:
    What differs, in words for the user; "" for nothing.

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
        f"config {name}={new[name]!r} holds something else"
        f" ({short(inputs[name])}); {workdir} was trained with"
        f" {old.get(name)!r} ({short(known[name])}); give it that again, or"
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
      f"{workdir} kept no fingerprint of {', '.join(sorted(inputs))}: whether"
      " they have changed is not known; from now on it is checked"
    )
  return "; ".join(notes)


def recorded(workdir: pathlib.Path) -> dict[str, Any]:
  """The config of the run in `workdir`, as it was begun or last resumed.

  Raises:
    UserError: its config.json is missing or broken.
  """
  path = workdir / _NAME
  remedy = (
    f"copy {workdir}/checkpoints/STEP/config/metadata to it, which is the same"
  )
  values = read_json(path, remedy)
  if not isinstance(values, dict):
    raise UserError(f"{path}: no settings by name; {remedy}")
  return values


def _is_free(name: str) -> bool:
  return any(name == free or name.startswith(f"{free}.") for free in _FREE)


def _as_read(config: Mapping[str, Any]) -> Any:
  """What JSON makes of it: lists out of tuples."""
  return json.loads(json.dumps(config))


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
  """(dotted path, value) of all that is not a dictionary."""
  if not isinstance(tree, Mapping):
    yield path, tree
    return
  for key, value in tree.items():
    yield from _leaves(value, f"{path}.{key}" if path else key)
