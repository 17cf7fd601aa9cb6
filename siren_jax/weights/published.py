"""Conversion of published checkpoints to our parameters, tensor by tensor.

A plan says which tensors each parameter is made of, and how; `fill` follows it
and checks that no parameter is missing, no tensor unused and no shape wrong.
Only one tensor is in memory besides the parameters.
"""

import contextlib
import fnmatch
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.traverse_util
import numpy as np
import safetensors

from siren_jax.common import files, paths, sniff
from siren_jax.common.errors import UserError
from siren_jax.storage.tensors import check_finite, is_floating

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_BATCH_NORM_EPSILON = 1e-5
_PICKLES = (".pth", ".pt", ".ckpt", ".bin")
# How torch's two generations of weight norm name magnitude and direction.
_WEIGHT_NORM = (
  (".weight_g", ".weight_v"),
  (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)


class Entry(NamedTuple):
  """One parameter of ours.

  Attributes:
    path: its place, '/' between names.
    names: of the published tensors that it is made of.
    make: function of these tensors, in order, to the parameter.
  """

  path: str
  names: tuple[str, ...]
  make: Callable[..., np.ndarray]


class Tensors(Mapping[str, np.ndarray]):
  """Tensors by name, read when asked for. Weight norm is folded in.

  Args:
    shapes: of all tensors by name; afterwards also of folded ones.
    read: returns a tensor by name.
    where: for messages.

  Raises:
    UserError: when asked for one that is not floating point, or not finite.
  """

  def __init__(
    self,
    shapes: Mapping[str, Sequence[int]],
    read: Callable[[str], np.ndarray],
    where: str,
  ):
    self.where, self.shapes, self._read = where, dict(shapes), read
    self._stored_as: dict[str, tuple[str, ...]] = {
      name: (name,) for name in shapes
    }
    for magnitude, direction in _WEIGHT_NORM:
      for name in [n for n in shapes if n.endswith(magnitude)]:
        base = name.removesuffix(magnitude)
        if base + direction in shapes:
          del self._stored_as[name], self._stored_as[base + direction]
          self._stored_as[base + ".weight"] = (name, base + direction)
          self.shapes[base + ".weight"] = self.shapes[base + direction]

  def __getitem__(self, name: str) -> np.ndarray:
    stored = [self._checked(tensor) for tensor in self._stored_as[name]]
    if len(stored) == 1:
      return stored[0]
    magnitude, direction = stored
    axes = tuple(range(1, direction.ndim))
    norm = np.sqrt(np.sum(direction**2, axes, keepdims=True))
    if not norm.all():
      raise UserError(
        f"{self.where}: tensor {self._stored_as[name][1]!r} has a direction of"
        " length 0; download it again"
      )
    return magnitude * (direction / norm)

  def _checked(self, name: str) -> np.ndarray:
    """One tensor as stored, float32."""
    tensor = self._read(name)
    if not is_floating(tensor.dtype):
      raise UserError(
        f"{self.where}: tensor {name!r} is {tensor.dtype}, not a float type;"
        " give weights in floating point, not quantized"
      )
    with np.errstate(over="ignore"):  # The check refuses it.
      tensor = tensor.astype(np.float32)
    check_finite(self.where, {name: tensor})
    return tensor

  def __iter__(self) -> Iterator[str]:
    return iter(self._stored_as)

  def __len__(self) -> int:
    return len(self._stored_as)


@contextlib.contextmanager
def tensors(path: str | os.PathLike) -> Iterator[Tensors]:
  """The tensors of a checkpoint: a file, or a folder as on the Hub.

  safetensors (one file, or several with an index); a pickle of torch if torch
  is installed, read without running what it holds.

  Raises:
    UserError: there is none, it is broken, or it needs torch.
  """
  path = paths.local(path)
  matches = _files(path)
  if matches[0].suffix in _PICKLES:
    yield _from_torch(matches[0])
    return
  with contextlib.ExitStack() as stack:
    file_of: dict[str, Any] = {}
    for file in matches:
      try:
        opened = stack.enter_context(safetensors.safe_open(file, "np"))
      except (safetensors.SafetensorError, OSError) as error:
        raise UserError(
          f"{file}: not a valid safetensors file"
          f" ({sniff.describe(file) or error}); download it again"
        ) from error
      file_of |= dict.fromkeys(opened.keys(), opened)
    shapes = {n: f.get_slice(n).get_shape() for n, f in file_of.items()}
    yield Tensors(shapes, lambda n: file_of[n].get_tensor(n), str(path))


def fill(
  source: Tensors,
  plan: Iterable[Entry],
  shapes: Any,
  ignored: Sequence[str] = (),
) -> dict[str, Any]:
  """Parameters of the tree `shapes` (of `jax.eval_shape`), float32.

  Args:
    source: published tensors. plan: their conversion.
    ignored: patterns (fnmatch) of tensors without learned values.

  Raises:
    UserError: a tensor is missing, unknown, of another shape or not finite, or
      a parameter is not in the plan; the message names it.
  """
  flat_shapes = flax.traverse_util.flatten_dict(shapes, sep="/")
  plan = list(plan)
  used = {name for entry in plan for name in entry.names}
  check_names(source, used, ignored)
  _check("the plan", "lacks", set(flat_shapes) - {entry.path for entry in plan})
  filled = {}
  for entry in plan:
    theirs = [source[name] for name in entry.names]
    try:
      with np.errstate(all="ignore"):  # Refused below, by the tensor's name.
        value = np.ascontiguousarray(entry.make(*theirs), np.float32)
    except (ValueError, IndexError):
      value = None  # refused below, as the shape that it is
    shape = flat_shapes[entry.path].shape
    if value is None or value.shape != shape:
      raise UserError(
        f"{source.where}: tensor {entry.names[0]!r} has shape"
        f" {list(theirs[0].shape)}, which does not fit {entry.path} of shape"
        f" {list(shape)}; its config belongs to another model"
      )
    check_finite(source.where, {" with ".join(entry.names): value})
    filled[entry.path] = value
  return flax.traverse_util.unflatten_dict(filled, sep="/")


def check_names(
  source: Tensors, used: set[str], ignored: Sequence[str] = ()
) -> None:
  """Raises UserError if a tensor is missing or unused."""
  _check(source.where, "lacks", used - set(source))
  spare = {
    name
    for name in set(source) - used
    if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)
  }
  _check(source.where, "has", spare)


def same(x: np.ndarray) -> np.ndarray:
  """A tensor as it is."""
  return x


def dense(
  ours: str, theirs: str, make: Callable[..., np.ndarray] = np.transpose
) -> Iterator[Entry]:
  """A dense layer: torch's is [out, in]."""
  yield Entry(f"{ours}/kernel", (f"{theirs}.weight",), make)
  yield Entry(f"{ours}/bias", (f"{theirs}.bias",), same)


def scale_shift(
  weight: np.ndarray, bias: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Batch norm, of the tensors `BATCH_NORM`, as an affine map."""
  scale = weight / np.sqrt(variance + _BATCH_NORM_EPSILON)
  return scale, bias - mean * scale


def _check(where: str, what: str, names: set[str]) -> None:
  if names:
    first = sorted(names)[0]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    raise UserError(
      f"{where} {what} tensor {first!r}{more}; it is not the model that its"
      " config describes"
    )


def _files(path: pathlib.Path) -> list[pathlib.Path]:
  if path.is_file():
    return [path]
  index = path / "model.safetensors.index.json"
  if index.is_file():
    values = files.read_json(index, "download it again")
    try:
      names = sorted(set(values["weight_map"].values()))
      return [path / names[0], *(path / name for name in names[1:])]
    except (LookupError, AttributeError, TypeError) as error:
      raise UserError(
        f"{index}: not an index of tensors ({error!r}); download it again"
      ) from error
  for pattern in ("*.safetensors", *(f"*{suffix}" for suffix in _PICKLES)):
    matches = sorted(path.glob(pattern))
    if len(matches) == 1:
      return matches
    if matches:
      raise UserError(
        f"{path} holds {', '.join(f.name for f in matches)}; name one of them"
      )
  raise UserError(
    f"{path}: no such file, nor a folder with safetensors or a torch pickle;"
    " check the path"
  )


def _from_torch(path: pathlib.Path) -> Tensors:
  if stand_in := sniff.describe(path, expected=b"PK"):
    raise UserError(
      f"{path}: not a torch pickle ({stand_in}); download it again"
    )
  try:
    import torch
  except ImportError as error:
    raise UserError(
      f"{path} is a torch pickle, which requires torch: pip install torch,"
      " or give the safetensors of the same model"
    ) from error
  try:
    # Files of torch before 1.6 are no zip archives, which cannot be mapped.
    mmap = zipfile.is_zipfile(path)
    state = torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)
  except Exception as error:  # torch raises what it likes
    raise UserError(
      f"{path}: torch cannot read it as plain tensors ({error!r:.200});"
      " download it again"
    ) from error
  # Most wrap their tensors in an entry of this name.
  for key in ("state_dict", "model"):
    if isinstance(state, dict) and isinstance(state.get(key), dict):
      state = state[key]
  if not isinstance(state, dict):
    raise UserError(
      f"{path}: holds a {type(state).__name__}, not tensors by name; save the"
      " model's state_dict"
    )
  state = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}

  def read(name: str) -> np.ndarray:
    tensor = state[name].detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()

  shapes = {name: value.shape for name, value in state.items()}
  return Tensors(shapes, read, str(path))
