"""Parameter trees in safetensors files."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from siren_jax.common.errors import UserError
from siren_jax.storage import tensors


@pytest.fixture
def params():
  rng = np.random.default_rng(0)
  return {
    "layer": {
      "kernel": rng.normal(size=(3, 4)).astype(np.float32),
      "bias": np.zeros(4, np.float32),
    },
    "steps": np.arange(3, dtype=np.int32),
  }


def shapes(params):
  return jax.eval_shape(lambda: jax.tree.map(jnp.asarray, params))


def test_saved_without_a_type_tensors_come_back_exactly(params, tmp_path):
  tensors.save(tmp_path / "a.safetensors", params)
  loaded = tensors.load(tmp_path / "a.safetensors", shapes(params))
  jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_others_may_read_it_as_any_new_file(params, tmp_path):
  tensors.save(tmp_path / "a.safetensors", params)
  (tmp_path / "b").touch()
  modes = {path.stat().st_mode for path in tmp_path.iterdir()}
  assert len(modes) == 1


def test_float16_on_disk_float32_in_memory(params, tmp_path):
  path = tmp_path / "a.safetensors"
  tensors.save(path, params, np.float16)
  assert tensors.read(path)["layer/kernel"].dtype == np.float16
  loaded = tensors.load(path, shapes(params))
  assert loaded["layer"]["kernel"].dtype == np.float32
  assert loaded["steps"].dtype == np.int32
  np.testing.assert_allclose(
    loaded["layer"]["kernel"], params["layer"]["kernel"], rtol=1e-3
  )


def test_bfloat16_from_the_device(tmp_path):
  params = {"w": jnp.ones((2, 2), jnp.bfloat16)}
  tensors.save(tmp_path / "a.safetensors", params)
  loaded = tensors.load(tmp_path / "a.safetensors", params)
  np.testing.assert_array_equal(loaded["w"], np.ones((2, 2), np.float32))


def test_a_transposed_view_keeps_its_order(tmp_path):
  params = {"w": np.arange(6, dtype=np.float32).reshape(2, 3).T}
  tensors.save(tmp_path / "a.safetensors", params)
  loaded = tensors.load(tmp_path / "a.safetensors", shapes(params))
  np.testing.assert_array_equal(loaded["w"], params["w"])


@pytest.mark.parametrize("value", [np.nan, 1e6])
def test_what_float16_cannot_hold_is_refused(value, params, tmp_path):
  params["layer"]["bias"][0] = value
  with pytest.raises(UserError, match="layer/bias"):
    tensors.save(tmp_path / "a.safetensors", params, np.float16)
  assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(params, tmp_path):
  path = tmp_path / "a.safetensors"
  tensors.save(path, params)
  params["layer"]["bias"][0] = np.nan
  with pytest.raises(UserError):
    tensors.save(path, params)
  assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
  assert tensors.read(path)["layer/bias"][0] == 0


def test_missing_extra_and_misshapen_tensors_are_named(params, tmp_path):
  path = tmp_path / "a.safetensors"
  tensors.save(path, params)
  wanted = shapes(params)
  with pytest.raises(UserError, match="lacks tensor 'more'"):
    tensors.load(path, {**wanted, "more": wanted["steps"]})
  with pytest.raises(UserError, match="has tensor 'steps'"):
    tensors.load(path, {"layer": wanted["layer"]})
  wrong = {**wanted, "steps": jax.ShapeDtypeStruct((7,), np.int32)}
  with pytest.raises(UserError, match=r"'steps' has shape \[3\].*\[7\]"):
    tensors.load(path, wrong)


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_truncated_files_are_refused(keep, params, tmp_path):
  path = tmp_path / "a.safetensors"
  tensors.save(path, params)
  path.write_bytes(path.read_bytes()[:keep])
  with pytest.raises(UserError, match="not a valid safetensors file"):
    tensors.load(path, shapes(params))


def test_garbage_and_missing_files_are_refused(params, tmp_path):
  path = tmp_path / "a.safetensors"
  with pytest.raises(UserError, match="no such file"):
    tensors.load(path, shapes(params))
  rng = np.random.default_rng(0)
  for _ in range(200):
    path.write_bytes(rng.bytes(int(rng.integers(1, 200))))
    with pytest.raises(UserError):
      tensors.load(path, shapes(params))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_number_that_is_not_finite_is_named(value, dtype, params, tmp_path):
  path = tmp_path / "a.safetensors"
  bias = np.zeros(4, dtype)
  bias[2] = value
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  save_file(flat | {"layer/bias": bias}, path)
  for read in (tensors.read, lambda p: tensors.load(p, shapes(params))):
    with pytest.raises(
      UserError, match=r"a\.safetensors.*'layer/bias'.*1 of 4"
    ):
      read(path)


def test_what_overflows_when_it_is_read_is_named(params, tmp_path):
  path = tmp_path / "a.safetensors"
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  save_file(flat | {"layer/bias": np.full(4, 1e39)}, path)
  with pytest.raises(UserError, match="'layer/bias' is not finite as float32"):
    tensors.load(path, shapes(params))


@pytest.mark.parametrize(
  ("name", "value"),
  [("layer/bias", np.zeros(4, np.int32)), ("steps", np.zeros(3, np.float32))],
)
def test_another_type_is_named(name, value, params, tmp_path):
  path = tmp_path / "a.safetensors"
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  save_file(flat | {name: value}, path)
  with pytest.raises(UserError, match=f"'{name}' is {value.dtype}"):
    tensors.load(path, shapes(params))


@pytest.mark.parametrize(
  ("stand_in", "message"),
  [
    (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    (b"<!DOCTYPE html><html>", "web page"),
    (b"", "empty"),
  ],
)
def test_a_stand_in_is_named(stand_in, message, params, tmp_path):
  path = tmp_path / "a.safetensors"
  path.write_bytes(stand_in)
  with pytest.raises(UserError, match=message):
    tensors.load(path, shapes(params))
