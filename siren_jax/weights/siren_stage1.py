"""The authors' Stage-1 format: `config.json` and one safetensors an expert.

Torch keeps weights as [out, in] and fuses q, k, v and gate, value along `out`;
ours are [in, ...] with axes of their own. Everything else is a renaming.
"""

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from siren_jax.common import config as configs
from siren_jax.common import files
from siren_jax.common.errors import UserError
from siren_jax.common.paths import local
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.ensemble import Variables, init
from siren_jax.storage import components, tensors
from siren_jax.weights import published

# Ours to theirs; what both name alike is not listed.
_CONFIG = {
  "heads": "n_heads",
  "kv_heads": "n_kv_heads",
  "temporal_layers": "spatial_layers",
  "depth_layers": "factorized_layers",
  "code_dim": "dac_code_dim",
  "feature_dim": "dac_feature_dim",
  "init_std": "initializer_range",
}
_THEIRS_ALONE = {"max_seq_len": 1024, "max_prompt_len": 512}  # written by save

# Theirs to ours, for one expert. What they fuse along `out` is a tuple here.
_Names = Mapping[str, str | tuple[str, ...]]
_PLAIN: _Names = {
  "sos": "params/sos",
  "spatial_norm.weight": "params/temporal_norm/scale",
  "factorized_norm.weight": "params/depth_norm/scale",
  "prompt_summary.weight": "params/summary",
  "prompt_summary.bias": "params/summary_bias",
}
_HEAD: _Names = {"weight": "params/heads"}
_CODEBOOK: _Names = {
  "projector.weight": "params/embedding/kernel",
  "projector.bias": "params/embedding/bias",
  "codebook.weight": "frozen/embedding/codebook_NxVx8",
  "dac_out.weight": "frozen/embedding/weight_NxFx8",
  "dac_out.bias": "frozen/embedding/bias_NxF",
}
_FFN: _Names = {
  "ffn_norm.weight": "ffn_norm/scale",
  "feed_forward.gate_value.weight": ("ffn/gate", "ffn/value"),
  "feed_forward.down.weight": "ffn/down",
}
_QKV = tuple(f"self_attention/{name}" for name in ("query", "key", "value"))
_SPATIAL: _Names = {
  **_FFN,
  "self_norm.weight": "self_norm/scale",
  "self_attention.qkv.weight": _QKV,
  "self_attention.output.weight": "self_attention/out",
  "cross_norm.weight": "cross_norm/scale",
  "cross_attention.query.weight": "cross_attention/query",
  "cross_attention.query.bias": "cross_attention/query_bias",
  "cross_attention.key_value.weight": (
    "cross_attention/key",
    "cross_attention/value",
  ),
  "cross_attention.key_value.bias": (
    "cross_attention/key_bias",
    "cross_attention/value_bias",
  ),
  "cross_attention.output.weight": "cross_attention/out",
  "cross_attention.output.bias": "cross_attention/out_bias",
}
_FACTORIZED: _Names = {
  **_FFN,
  "attention_norm.weight": "self_norm/scale",
  "attention.qkv.weight": _QKV,
  "attention.output.weight": "self_attention/out",
}

Tensors = dict[str, np.ndarray]


def load(directory: str | os.PathLike) -> tuple[ExpertConfig, Variables]:
  """Reads the authors' files into the stacked ensemble.

  Args:
    directory: holds `config.json` and `expert_0.safetensors` ...

  Returns:
    The config, and the variables that `experts.logits` takes.

  Raises:
    UserError: a file or tensor is missing, broken or of the wrong shape.
  """
  directory = local(directory)
  config = _read_config(directory / "config.json")
  shapes = flatten_dict(components.shapes(init, config), sep="/")
  ours = {path: np.empty(x.shape, np.float32) for path, x in shapes.items()}
  for k in range(config.num_experts):
    path = directory / f"expert_{k}.safetensors"
    with published.tensors(path) as stored:
      _read(stored, {name: x[k] for name, x in ours.items()}, config)
  return config, unflatten_dict(ours, sep="/")


def save(
  directory: str | os.PathLike, config: ExpertConfig, params: Variables
) -> None:
  """Writes a new folder in the authors' format; the inverse of `load`."""
  params = jax.tree.map(np.asarray, nn.unbox(params))
  values = {
    _CONFIG.get(name, name): value
    for name, value in dataclasses.asdict(config).items()
  }
  with files.new_folder(directory) as folder:
    for k in range(config.num_experts):
      theirs = _to_torch(jax.tree.map(lambda x, k=k: x[k], params), config)
      tensors.save(folder / f"expert_{k}.safetensors", theirs)
    text = json.dumps(values | _THEIRS_ALONE, indent=2)
    (folder / "config.json").write_text(text)


def _read_config(path: Path) -> ExpertConfig:
  names = {
    field.name: _CONFIG.get(field.name, field.name)
    for field in dataclasses.fields(ExpertConfig)
  }
  return configs.read_renamed(
    path, ExpertConfig, names, "give a folder that was saved whole"
  )


class _Entry(NamedTuple):
  """One tensor of theirs and the arrays of ours that it holds."""

  name: str
  paths: tuple[str, ...]
  layer: int | None  # position on the leading axis of ours, where stacked


def _entries(cfg: ExpertConfig) -> Iterator[_Entry]:
  def entries(
    table: _Names,
    prefix: str,
    root: str,
    layer: int | None,
  ) -> Iterator[_Entry]:
    for name, paths in table.items():
      paths = (paths,) if isinstance(paths, str) else paths
      yield _Entry(prefix + name, tuple(root + p for p in paths), layer)

  yield from entries(_PLAIN, "", "", None)
  for prefix, root, table, count in (
    ("heads", "", _HEAD, cfg.codebooks_per_expert),
    ("codebooks.layers", "", _CODEBOOK, cfg.num_codebooks),
    ("spatial_blocks", "params/temporal/", _SPATIAL, cfg.temporal_layers),
    ("factorized_blocks", "params/depth/", _FACTORIZED, cfg.depth_layers),
  ):
    for i in range(count):
      yield from entries(table, f"{prefix}.{i}.", root, i)


def _read(stored: published.Tensors, ours: Tensors, cfg: ExpertConfig) -> None:
  """Fills one expert's arrays with their tensors.

  Raises:
    UserError: a tensor is missing, unknown, of another shape or not finite.
  """
  entries = list(_entries(cfg))
  published.check_names(stored, {entry.name for entry in entries})
  for name, paths, layer in entries:
    theirs = value = stored[name]
    if value.ndim == 2 and not paths[0].startswith("frozen"):
      value = value.T
    slots = [ours[p] if layer is None else ours[p][layer] for p in paths]
    flat = [_matrix(p, slot) for p, slot in zip(paths, slots, strict=True)]
    widths = [x.shape[1] for x in flat]
    expected = (flat[0].shape[0], sum(widths))
    lines = value.shape[0] if value.ndim == 2 else 1
    if lines != expected[0] or value.size != math.prod(expected):
      raise UserError(
        f"{stored.where}: tensor {name!r} has shape {list(theirs.shape)}, which"
        " does not fit config.json; take both from the same training run"
      )
    parts = np.split(value.reshape(expected), np.cumsum(widths)[:-1], axis=1)
    for slot, part in zip(slots, parts, strict=True):
      slot[...] = part.reshape(slot.shape)


def _to_torch(variables: Variables, cfg: ExpertConfig) -> Tensors:
  """One expert's arrays as their tensors, the inverse of `_read`."""
  ours = flatten_dict(variables, sep="/")
  theirs = {}
  for name, paths, layer in _entries(cfg):
    slots = [ours[p] if layer is None else ours[p][layer] for p in paths]
    flat = [_matrix(p, slot) for p, slot in zip(paths, slots, strict=True)]
    value = np.concatenate(flat, axis=1)
    if name == "sos":
      value = value[None]
    elif _is_vector(paths[0]):
      value = value[0]
    elif not paths[0].startswith("frozen"):
      value = value.T
    theirs[name] = np.ascontiguousarray(value)
  return theirs


def _is_vector(path: str) -> bool:
  return path.endswith(("bias", "scale", "bias_NxF"))


def _matrix(path: str, value: np.ndarray) -> np.ndarray:
  """One array of ours as [in, out]; a vector as one row."""
  return value.reshape(1 if _is_vector(path) else value.shape[0], -1)
