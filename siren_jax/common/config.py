"""Frozen dataclasses to plain dictionaries and back, strictly."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from siren_jax.common import files, paths
from siren_jax.common.errors import UserError, about

T = TypeVar("T")

# Range of float32; numbers below TINY become 0 on most devices.
_HUGE, _TINY = 3.4028234e38, 1.1754944e-38
_MAX_SIZE = 1_000_000
_INTS = range(-(2**31), 2**32)  # int32, and the seeds of uint32


def to_dict(config: Any) -> dict[str, Any]:
  """Nested dataclass to nested plain dictionary (JSON ready)."""
  return dataclasses.asdict(config)


def from_dict(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
  """Builds dataclass `cls` from `values`; absent keys keep their defaults.

  For a union of dataclasses, `values["kind"]` selects one; default: the first.

  Raises:
    UserError: an unknown key (with the nearest known one), a missing key
      without a default, a value of the wrong type, a number beyond 32 bits, or
      a URL.
  """
  if not isinstance(values, Mapping):
    raise UserError(
      f"config {path.rstrip('.')}={values!r}: expected a group of settings"
    )
  concrete = _of_kind(cls, values, path)
  fields = {f.name: f for f in dataclasses.fields(concrete)}
  hints = typing.get_type_hints(concrete)
  for key in values:
    if key not in fields:
      raise UserError(unknown_key(f"{path}{key}", key, list(fields)))
  kwargs = {
    key: _convert(hints[key], value, f"{path}{key}")
    for key, value in values.items()
  }
  try:
    return concrete(**kwargs)
  except TypeError as error:
    raise UserError(f"config {path or concrete.__name__}: {error}") from error


def read_renamed(
  path: Path, cls: type[T], names: Mapping[str, str], remedy: str
) -> T:
  """Builds dataclass `cls` from a third-party JSON file with other names.

  Args:
    names: the file's name of each field.
  Raises:
    UserError: the file is missing or broken, or lacks a name (the message ends
      with `remedy`); or see `from_dict`.
  """
  content = files.read_json(path, remedy)
  for name in names.values():
    if not isinstance(content, dict) or name not in content:
      raise UserError(f"{path} lacks {name!r}; {remedy}")
  with about(path):
    return from_dict(cls, {ours: content[name] for ours, name in names.items()})


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
  """The error message for a key that is not in `known`."""
  near = difflib.get_close_matches(key, known, n=1)
  hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
  return f"unknown config key {full!r}; {hint}"


def _convert(hint: Any, value: Any, path: str) -> Any:
  """Converts a value to type `hint` if that is lossless."""
  origin = typing.get_origin(hint)
  if isinstance(hint, type) and dataclasses.is_dataclass(hint):
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
    if len(rest) == 1:
      return _convert(rest[0], value, path)
    if all(map(dataclasses.is_dataclass, rest)) and isinstance(value, Mapping):
      return from_dict(hint, value, f"{path}.")
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
      paths.local(value)  # Most strings are paths, and no other is a URL.
  return value


def check_number(subject: str, value: int | float) -> None:
  """Checks that a number can be represented in 32 bits on a device.

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
      f"{subject}: must be 0, or have a magnitude from {_TINY:g} to {_HUGE:g},"
      " the range of float32"
    )


def check_sizes(
  part: str, config: Any, **limits: int | tuple[int, int]
) -> None:
  """Checks that sizes are plausible, before a model is built from them.

  Args:
    part: for the message.
    config: a dataclass; its ints, alone or in tuples, are sizes.
    **limits: maximum of a field if it is not a million, or (minimum, maximum)
      if the minimum is not 1.

  Raises:
    UserError: a size is too small or too large; the message names it.
  """
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    limit = limits.get(field.name, _MAX_SIZE)
    least, most = limit if isinstance(limit, tuple) else (1, limit)
    for size in value if isinstance(value, tuple) else (value,):
      if type(size) is int and not least <= size <= most:
        raise UserError(
          f"{part} {field.name}={value}: must be at least {least} and at most"
          f" {most}"
        )
