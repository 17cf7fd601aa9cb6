"""The authors' Stage-1 format: `config.json` and one safetensors an expert.

Torch keeps weights as [out, in] and fuses q, k, v (in this order) and gate,
value along `out`; ours are [in, ...] with axes of their own (see
`experts.attention`). Everything else is a renaming.
"""

import dataclasses
import json
import os
from pathlib import Path

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from siren_jax.common.errors import UserError
from siren_jax.experts.config import ExpertConfig
from siren_jax.experts.ensemble import Variables

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
_RUNTIME = ("dtype", "scan_layers", "remat", "expert_loop")

_CODEBOOK = {
  "params/embedding/kernel": "projector.weight",
  "params/embedding/bias": "projector.bias",
  "frozen/embedding/codebook_NxVx8": "codebook.weight",
  "frozen/embedding/weight_NxFx8": "dac_out.weight",
  "frozen/embedding/bias_NxF": "dac_out.bias",
}
_SELF = {
  "self_norm/scale": "{norm}.weight",
  "self_attention/qkv": "{attention}.qkv.weight",
  "self_attention/out": "{attention}.output.weight",
  "ffn_norm/scale": "ffn_norm.weight",
  "ffn/gate_value": "feed_forward.gate_value.weight",
  "ffn/down": "feed_forward.down.weight",
}
_CROSS = {
  "cross_norm/scale": "cross_norm.weight",
  "cross_attention/query": "cross_attention.query.weight",
  "cross_attention/query_bias": "cross_attention.query.bias",
  "cross_attention/key_value": "cross_attention.key_value.weight",
  "cross_attention/key_value_bias": "cross_attention.key_value.bias",
  "cross_attention/out": "cross_attention.output.weight",
  "cross_attention/out_bias": "cross_attention.output.bias",
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
  directory = Path(directory)
  config = _read_config(directory / "config.json")
  experts = []
  for k in range(config.num_experts):
    path = directory / f"expert_{k}.safetensors"
    try:
      experts.append(_from_torch(load_file(path), config))
    except (OSError, SafetensorError) as error:
      raise UserError(f"cannot read {path}: {error}") from error
    except (KeyError, ValueError) as error:
      raise UserError(f"{path} does not fit config.json: {error}") from error
  return config, jax.tree.map(lambda *leaves: np.stack(leaves), *experts)


def save(
  directory: str | os.PathLike, config: ExpertConfig, params: Variables
) -> None:
  """Writes the ensemble in the authors' format; the inverse of `load`."""
  directory = Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  params = jax.tree.map(np.asarray, nn.unbox(params))
  for k in range(config.num_experts):
    tensors = _to_torch(jax.tree.map(lambda x, k=k: x[k], params), config)
    part = directory / f".expert_{k}.part"
    save_file(tensors, part)
    os.replace(part, directory / f"expert_{k}.safetensors")
  values = {
    _CONFIG.get(name, name): value
    for name, value in dataclasses.asdict(config).items()
    if name not in _RUNTIME
  }
  part = directory / ".config.part"
  part.write_text(json.dumps(values | _THEIRS_ALONE, indent=2))
  os.replace(part, directory / "config.json")


def _read_config(path: Path) -> ExpertConfig:
  try:
    values = json.loads(path.read_text())
    return ExpertConfig(
      **{
        field.name: values[_CONFIG.get(field.name, field.name)]
        for field in dataclasses.fields(ExpertConfig)
        if field.name not in _RUNTIME
      }
    )
  except (OSError, json.JSONDecodeError) as error:
    raise UserError(f"cannot read {path}: {error}") from error
  except KeyError as error:
    raise UserError(f"{path} lacks the key {error}") from error


def _from_torch(t: Tensors, cfg: ExpertConfig) -> Variables:
  """One expert's tensors as our variables.

  Every entry of `_names` is asked for once: a missing one is a KeyError, a
  wrong shape a ValueError.
  """
  flat = {
    path: np.stack([_inwards(path, t[name], cfg) for name in names])
    if isinstance(names, list)
    else _inwards(path, t[names], cfg)
    for path, names in _names(cfg).items()
  }
  return flax.traverse_util.unflatten_dict(flat, sep="/")


def _to_torch(variables: Variables, cfg: ExpertConfig) -> Tensors:
  """The inverse of `_from_torch`."""
  flat = flax.traverse_util.flatten_dict(variables, sep="/")
  tensors = {}
  for path, names in _names(cfg).items():
    stacked = isinstance(names, list)
    for i, name in enumerate(names if stacked else [names]):
      value = flat[path][i] if stacked else flat[path]
      tensors[name] = np.ascontiguousarray(_outwards(path, value, cfg))
  return tensors


def _names(cfg: ExpertConfig) -> dict[str, str | list[str]]:
  """Our paths to their names; a list is stacked on a leading axis."""
  names: dict[str, str | list[str]] = {
    "params/sos": "sos",
    "params/temporal_norm/scale": "spatial_norm.weight",
    "params/depth_norm/scale": "factorized_norm.weight",
    "params/summary": "prompt_summary.weight",
    "params/summary_bias": "prompt_summary.bias",
  }

  def stacked(ours: str, prefix: str, theirs: str, count: int):
    names[ours] = [f"{prefix}.{i}.{theirs}" for i in range(count)]

  stacked("params/heads", "heads", "weight", cfg.codebooks_per_expert)
  for ours, theirs in _CODEBOOK.items():
    stacked(ours, "codebooks.layers", theirs, cfg.num_codebooks)
  for ours, theirs in (_SELF | _CROSS).items():
    theirs = theirs.format(attention="self_attention", norm="self_norm")
    stacked(
      f"params/temporal/{ours}", "spatial_blocks", theirs, cfg.temporal_layers
    )
  for ours, theirs in _SELF.items():
    theirs = theirs.format(attention="attention", norm="attention_norm")
    stacked(
      f"params/depth/{ours}", "factorized_blocks", theirs, cfg.depth_layers
    )
  return names


def _shape(path: str, cfg: ExpertConfig) -> tuple[int, ...]:
  """Our shape of what torch keeps as a matrix [out, in] or as a vector."""
  heads = (cfg.heads, cfg.head_dim)
  return {
    "sos": (1, cfg.dim),
    "gate_value": (cfg.dim, 2, cfg.ffn_dim),
    "query": (cfg.dim, *heads),
    "query_bias": heads,
    "key_value": (cfg.prompt_dim, 2, *heads),
    "key_value_bias": (2, *heads),
    "down": (cfg.ffn_dim, cfg.dim),
    "out": (cfg.dim, cfg.dim),
    "summary": (cfg.prompt_dim, cfg.dim),
    "heads": (cfg.dim, cfg.codebook_size),
    "kernel": (cfg.feature_dim, cfg.dim),
    "codebook_NxVx8": (cfg.codebook_size, cfg.code_dim),
    "weight_NxFx8": (cfg.feature_dim, cfg.code_dim),
    "bias_NxF": (cfg.feature_dim,),
  }.get(path.split("/")[-1], (cfg.dim,))


def _inwards(path: str, value: np.ndarray, cfg: ExpertConfig) -> np.ndarray:
  """One tensor of theirs in our layout."""
  if path.endswith("/qkv"):
    return _group_qkv(value.T, cfg)
  if not path.startswith("frozen") and value.ndim == 2:
    value = value.T
  return value.reshape(_shape(path, cfg))


def _outwards(path: str, value: np.ndarray, cfg: ExpertConfig) -> np.ndarray:
  """One array of ours in their layout."""
  if path.endswith("/qkv"):
    return _ungroup_qkv(value, cfg).T
  if path.endswith("/sos"):
    return value.reshape(1, 1, cfg.dim)
  if path.endswith("bias"):
    return value.reshape(-1)
  if path.startswith("frozen") or value.ndim == 1:
    return value
  return value.reshape(value.shape[0], -1).T


def _group_qkv(fused: np.ndarray, cfg: ExpertConfig) -> np.ndarray:
  """[D, q | k | v] to [D, G, R + 2, H]; query heads g*R .. g*R+R-1 with g."""
  groups = (cfg.dim, cfg.kv_heads, -1, cfg.head_dim)
  width = cfg.kv_heads * cfg.head_dim
  parts = np.split(fused, [cfg.dim, cfg.dim + width], axis=1)
  return np.concatenate([part.reshape(groups) for part in parts], axis=2)


def _ungroup_qkv(grouped: np.ndarray, cfg: ExpertConfig) -> np.ndarray:
  """The inverse of `_group_qkv`."""
  ratio = cfg.heads_per_kv
  parts = np.split(grouped, [ratio, ratio + 1], axis=2)
  return np.concatenate([part.reshape(cfg.dim, -1) for part in parts], axis=1)
