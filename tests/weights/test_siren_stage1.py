"""Parity with the authors' Stage-1 code, on checkpoints in their format."""

import json
import pathlib
import shutil

import flax.traverse_util
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from siren_jax import experts
from siren_jax.common.errors import UserError
from siren_jax.weights import siren_stage1

# Made by the authors' code; beside the checkout where it is developed.
SHARED = pathlib.Path(__file__).parents[3] / "shared/fixtures/siren_stage1"
# Made by ours (make_fixture.py) when it agreed with the authors'.
OWN = pathlib.Path(__file__).parents[1] / "fixtures/siren_stage1"


@pytest.fixture(scope="module", params=[SHARED, OWN], ids=["authors", "own"])
def fixture(request):
  if not request.param.exists():
    pytest.skip(f"{request.param} is not here")
  config, params = siren_stage1.load(request.param)
  with np.load(request.param / "expected.npz") as file:
    expected = dict(file)
  names = ("codes", "prompt", "sequence_mask", "prompt_mask")
  return config, params, [expected[name] for name in names], expected


def test_imported_logits_are_the_published_ones(fixture):
  config, params, batch, expected = fixture
  run = jax.jit(experts.logits, static_argnums=1)
  logits = np.asarray(run(params, config, *batch))
  frames = batch[2]
  for n in range(config.num_codebooks):
    published = expected[f"logits_{n}"]
    every = config.codebook_size // published.shape[-1]
    got = logits[:, n, :, ::every]
    np.testing.assert_allclose(got[frames], published[frames], atol=1e-4)


def test_imported_losses_are_the_published_ones(fixture):
  config, params, batch, expected = fixture
  run = jax.jit(experts.loss, static_argnums=1)
  total, metrics = run(params, config, *batch)
  own = config.codebooks_per_expert
  for n in range(config.num_codebooks):
    published = expected[f"expert{n // own}_ce_codebook_{n}"]
    np.testing.assert_allclose(
      metrics[f"ce_codebook_{n}"], published, atol=1e-4
    )
  losses = [expected[f"expert{k}_loss"] for k in range(config.num_experts)]
  np.testing.assert_allclose(total, np.mean(losses), atol=1e-4)


def test_written_files_are_those_that_were_read(fixture, tmp_path):
  config, params, *_ = fixture
  siren_stage1.save(tmp_path / "out", config, params)
  again_config, again = siren_stage1.load(tmp_path / "out")
  assert again_config == config
  jax.tree.map(np.testing.assert_array_equal, again, params)


def test_no_tensor_is_left_over(fixture, tmp_path):
  """Changing any tensor of the file changes what is read."""
  config, params, *_ = fixture
  leaves = flax.traverse_util.flatten_dict(params, sep="/")
  count = sum(leaf[0].size for leaf in leaves.values())
  siren_stage1.save(tmp_path / "out", config, params)
  tensors = load_file(tmp_path / "out" / "expert_0.safetensors")
  assert sum(tensor.size for tensor in tensors.values()) == count


@pytest.fixture
def broken(tmp_path):
  return pathlib.Path(shutil.copytree(OWN, tmp_path / "files"))


def test_a_missing_file_is_named(broken):
  (broken / "expert_1.safetensors").unlink()
  with pytest.raises(UserError, match=r"expert_1\.safetensors"):
    siren_stage1.load(broken)


def test_a_truncated_file_is_named(broken):
  path = broken / "expert_0.safetensors"
  path.write_bytes(path.read_bytes()[:-100])
  with pytest.raises(UserError, match=r"expert_0\.safetensors"):
    siren_stage1.load(broken)


def test_a_tensor_of_another_shape_is_named(broken):
  config = json.loads((broken / "config.json").read_text())
  (broken / "config.json").write_text(json.dumps(config | {"prompt_dim": 9}))
  with pytest.raises(UserError, match="prompt_summary|cross_attention"):
    siren_stage1.load(broken)


@pytest.mark.parametrize(
  "change, message",
  [
    (lambda t: t.pop("heads.0.weight"), "lacks tensor 'heads.0.weight'"),
    (lambda t: t.update(sos=t["sos"][:0, :0]), "'sos' has shape"),
    (lambda t: t.update(more=np.zeros(3)), "has tensor 'more'"),
    (
      lambda t: t.update(sos=np.full_like(t["sos"], np.nan)),
      "'sos' is not fin",
    ),
  ],
)
def test_missing_extra_and_broken_tensors_are_named(broken, change, message):
  tensors = load_file(broken / "expert_1.safetensors")
  change(tensors)
  save_file(tensors, broken / "expert_1.safetensors")
  with pytest.raises(UserError, match=f"expert_1.safetensors.*{message}"):
    siren_stage1.load(broken)


def test_a_missing_config_key_is_named(broken):
  config = json.loads((broken / "config.json").read_text())
  del config["n_heads"]
  (broken / "config.json").write_text(json.dumps(config))
  with pytest.raises(UserError, match="n_heads"):
    siren_stage1.load(broken)


@pytest.mark.parametrize("value", ["4", 0, -1, 4.5, True, None, 10**9])
def test_a_setting_that_is_none_is_named(broken, value):
  config = json.loads((broken / "config.json").read_text())
  (broken / "config.json").write_text(json.dumps(config | {"n_heads": value}))
  with pytest.raises(UserError, match=r"config\.json: .*heads"):
    siren_stage1.load(broken)


@pytest.mark.parametrize("data", [b"[]", b"", b"<html>", b"{"])
def test_a_config_that_is_none_is_named(broken, data):
  (broken / "config.json").write_bytes(data)
  with pytest.raises(UserError, match=r"config\.json"):
    siren_stage1.load(broken)
