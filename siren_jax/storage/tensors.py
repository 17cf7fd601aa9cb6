"""Parameter trees on disk: safetensors files, keys joined with '/'."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import safetensors
import safetensors.numpy

from siren_jax.common import files, paths, sniff
from siren_jax.common.errors import UserError

Params = dict[str, Any]
SAME_EXPORT = "get the file and its config from the same export"


def save(path: str | os.PathLike, params: Params, dtype: Any = None) -> None:
  """Writes nested `params` to one file, atomically.

  Floating-point arrays are stored as `dtype` (None: unchanged).

  Raises:
    UserError: a tensor holds NaN, or a value too large for `dtype`.
  """
  flat = flax.traverse_util.flatten_dict(jax.device_get(params), sep="/")
  tensors = {k: _cast(np.asarray(v), dtype) for k, v in flat.items()}
  for name, tensor in tensors.items():
    if not np.isfinite(tensor.astype(np.float32)).all():
      raise UserError(
        f"tensor {name!r} is not finite as {tensor.dtype}; train longer or "
        "with a lower learning rate"
      )
  with files.replacing(path) as file:
    try:
      safetensors.numpy.save_file(tensors, file.name)
    except safetensors.SafetensorError as error:
      raise UserError(
        f"{path}: cannot write ({error}); free space or choose another place"
      ) from error


def load(
  path: str | os.PathLike, abstract: Params, dtype: Any = np.float32
) -> Params:
  """Reads the tree that `abstract` (shapes, as of `jax.eval_shape`) describes.

  Floating-point arrays are returned as `dtype`.

  Raises:
    UserError: the file is missing or broken, or a tensor is missing, unknown,
      of another shape or type, or not finite as `dtype`; the message names it.
  """
  path = paths.local(path)
  tensors = read(path)
  expected = flax.traverse_util.flatten_dict(abstract, sep="/")
  _check_names(path, set(expected), set(tensors))
  for name, leaf in expected.items():
    tensor = tensors[name]
    if tensor.shape != leaf.shape:
      raise UserError(
        f"{path}: tensor {name!r} has shape {list(tensor.shape)}, its "
        f"config asks for {list(leaf.shape)}; {SAME_EXPORT}"
      )
    if is_floating(tensor.dtype) != is_floating(leaf.dtype):
      raise UserError(
        f"{path}: tensor {name!r} is {tensor.dtype}, its config asks for "
        f"{leaf.dtype}; {SAME_EXPORT}"
      )
  flat = {k: _cast(v, dtype) for k, v in tensors.items()}
  check_finite(path, flat)
  return flax.traverse_util.unflatten_dict(flat, sep="/")


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """All tensors of a safetensors file by name, as stored.

  Raises:
    UserError: there is no such file, it is truncated or broken, or a tensor is
      not finite.
  """
  path = paths.local(path)
  if not path.is_file():
    raise UserError(f"{path}: no such file; copy or export the bundle again")
  try:
    tensors = safetensors.numpy.load_file(path)
  except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
    raise UserError(
      f"{path}: not a valid safetensors file ({sniff.describe(path) or error});"
      " copy or export it again"
    ) from error
  check_finite(path, tensors)
  return tensors


def check_finite(
  where: str | os.PathLike, tensors: Mapping[str, np.ndarray]
) -> None:
  """Checks that all tensors are finite.

  Raises:
    UserError: a tensor holds NaN or infinity; the message names it, in `where`.
  """
  for name, tensor in tensors.items():
    if is_floating(tensor.dtype):
      bad = tensor.size - np.count_nonzero(np.isfinite(tensor))
      if bad:
        raise UserError(
          f"{where}: tensor {name!r} is not finite as {tensor.dtype} ({bad} of"
          f" {tensor.size} numbers); copy, download or export it again"
        )


def is_floating(dtype: Any) -> bool:
  """Whether this is a floating-point type, including bfloat16."""
  # bfloat16 is not a subtype of np.floating for NumPy; JAX handles both.
  return jax.numpy.issubdtype(dtype, np.floating)


def _check_names(
  path: pathlib.Path, expected: set[str], stored: set[str]
) -> None:
  for what, names in (("lacks", expected - stored), ("has", stored - expected)):
    if names:
      first = sorted(names)[0]
      more = f" and {len(names) - 1} more" if len(names) > 1 else ""
      known = "" if what == "lacks" else ", which its config does not know"
      raise UserError(
        f"{path} {what} tensor {first!r}{more}{known}; {SAME_EXPORT}"
      )


def _cast(array: np.ndarray, dtype: Any) -> np.ndarray:
  if dtype is None or not is_floating(array.dtype):
    return np.ascontiguousarray(array)
  with np.errstate(over="ignore"):  # Refused afterwards, by the tensor's name.
    return np.ascontiguousarray(array.astype(dtype))
