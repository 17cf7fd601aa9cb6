"""Parameter trees on disk: safetensors files, keys joined with '/'."""

import os
import pathlib
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import safetensors
import safetensors.numpy

from siren_jax.common import files
from siren_jax.common.errors import UserError

Params = dict[str, Any]


def save(path: str | os.PathLike, params: Params, dtype: Any = None) -> None:
  """Writes nested `params` to one file, in one step (temporary name first).

  Floating point arrays are stored as `dtype` (None: as they are).

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

  Floating point arrays come back as `dtype`.

  Raises:
    UserError: the file is missing or broken, or a tensor is missing, unknown
      or of another shape; the message names it.
  """
  path = pathlib.Path(path)
  tensors = read(path)
  wanted = flax.traverse_util.flatten_dict(abstract, sep="/")
  _check_names(path, set(wanted), set(tensors))
  for name, leaf in wanted.items():
    if tensors[name].shape != leaf.shape:
      raise UserError(
        f"{path}: tensor {name!r} has shape {list(tensors[name].shape)}, its "
        f"config asks for {list(leaf.shape)}; get the file and its config from "
        "the same export"
      )
  flat = {k: _cast(v, dtype) for k, v in tensors.items()}
  return flax.traverse_util.unflatten_dict(flat, sep="/")


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """All tensors of a safetensors file by name, as stored.

  Raises:
    UserError: there is no such file, or it is truncated or broken.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f"{path}: no such file; copy or export the bundle again")
  try:
    return safetensors.numpy.load_file(path)
  except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
    raise UserError(
      f"{path}: not a whole safetensors file ({error}); copy or export it again"
    ) from error


def _check_names(path: pathlib.Path, wanted: set[str], found: set[str]) -> None:
  for what, names in (("lacks", wanted - found), ("has", found - wanted)):
    if names:
      first = sorted(names)[0]
      more = f" and {len(names) - 1} more" if len(names) > 1 else ""
      known = "" if what == "lacks" else ", which its config does not know"
      raise UserError(
        f"{path} {what} tensor {first!r}{more}{known}; "
        "get the file and its config from the same export"
      )


def _cast(array: np.ndarray, dtype: Any) -> np.ndarray:
  # bfloat16 is no np.floating; jax knows both kinds.
  if dtype is None or not jax.numpy.issubdtype(array.dtype, np.floating):
    return np.ascontiguousarray(array)
  with np.errstate(over="ignore"):  # Told by `save`, by the tensor's name.
    return np.ascontiguousarray(array.astype(dtype))
