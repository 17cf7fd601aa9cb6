"""Checkpoints of others: whole, floating point and finite, or refused."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from siren_jax.common.errors import UserError
from siren_jax.weights import published

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def _read(path):
  with published.tensors(path) as source:
    return {name: source[name] for name in source}


@pytest.mark.parametrize(
  ("value", "message"),
  [
    (np.array([1.0, np.nan], np.float16), "not finite as float32 .1 of 2"),
    (np.array([1.0, np.inf], np.float32), "not finite"),
    (np.array([1.0, 1e39]), "not finite as float32"),
    (np.array([1, 2], np.int8), "is int8, not a float type"),
    (np.array([True, False]), "is bool"),
  ],
)
def test_a_tensor_that_no_parameter_is_made_of_is_named(
  value, message, tmp_path
):
  save_file({"a.weight": value}, tmp_path / "model.safetensors")
  with pytest.raises(
    UserError, match=f"{tmp_path}: tensor 'a.weight'.*{message}"
  ):
    _read(tmp_path)


def test_all_types_come_as_float32(tmp_path):
  save_file(
    {"a": np.ones(2, np.float16), "b": np.ones(2)}, tmp_path / "x.safetensors"
  )
  assert {x.dtype for x in _read(tmp_path).values()} == {np.dtype(np.float32)}


def test_weight_norm_without_a_direction_is_named(tmp_path):
  save_file(
    {"a.weight_g": np.ones((2, 1)), "a.weight_v": np.zeros((2, 3))},
    tmp_path / "x.safetensors",
  )
  with pytest.raises(UserError, match="'a.weight_v' has a direction of length"):
    _read(tmp_path)


def test_a_negative_variance_is_named(tmp_path):
  names = [f"bn.{part}" for part in published.BATCH_NORM]
  tensors = dict.fromkeys(names, -np.ones(2, "f4"))
  save_file(tensors, tmp_path / "x.safetensors")
  plan = [published.Entry("w", tuple(names), lambda *x: x[0] / np.sqrt(x[3]))]
  shapes = {"w": np.zeros(2)}
  with published.tensors(tmp_path) as source:
    with pytest.raises(UserError, match="bn.weight with .*not finite"):
      published.fill(source, plan, shapes)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.pt", "a.bin"])
@pytest.mark.parametrize(
  ("data", "message"),
  [(LFS, "Git LFS pointer"), (b"<html>", "web page"), (b"", "an empty file")],
)
def test_what_stands_in_place_of_weights_is_named(
  name, data, message, tmp_path
):
  (tmp_path / name).write_bytes(data)
  for path in (tmp_path, tmp_path / name):
    with pytest.raises(UserError, match=f"{name}.*{message}"):
      _read(path)


@pytest.mark.parametrize(
  "values",
  [[], {}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": {"a": 3}}],
)
def test_an_index_that_is_none_is_named(values, tmp_path):
  path = tmp_path / "model.safetensors.index.json"
  path.write_text(json.dumps(values))
  with pytest.raises(UserError, match="index.json: not an index of tensors"):
    _read(tmp_path)
  path.write_bytes(LFS)
  with pytest.raises(UserError, match="index.json.*Git LFS pointer"):
    _read(tmp_path)


def test_a_shard_that_is_missing_is_named(tmp_path):
  path = tmp_path / "model.safetensors.index.json"
  path.write_text(json.dumps({"weight_map": {"a": "1.safetensors"}}))
  with pytest.raises(UserError, match="1.safetensors: not a valid.*No such"):
    _read(tmp_path)
