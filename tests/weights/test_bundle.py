"""Bundles: whole ones come back, broken ones are told apart."""

import dataclasses
import json
import shutil

import chex
import flax.traverse_util
import jax
import numpy as np
import pytest

from siren_jax.common import tensors
from siren_jax.common.errors import UserError
from siren_jax.weights import bundle

FILES = {
  "config.json",
  "README.md",
  "tokenizer.json",
  "codec.safetensors",
  "clap.safetensors",
  "experts.safetensors",
}


@pytest.fixture
def copy(tiny_bundle, tmp_path):
  return shutil.copytree(tiny_bundle, tmp_path / "copy")


def edit(folder, **changes):
  path = folder / "config.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_bundle_comes_back(tiny_model, tiny_bundle):
  loaded = bundle.load(tiny_bundle)
  assert {p.name for p in tiny_bundle.iterdir()} == FILES
  for name in ("name", "config", "sampling", "max_seconds", "candidates"):
    assert getattr(loaded, name) == getattr(tiny_model, name)
  assert loaded.codec.config == tiny_model.codec.config
  assert loaded.clap.config == tiny_model.clap.config
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
    (loaded.codec.params, loaded.clap.params, loaded.params),
    (tiny_model.codec.params, tiny_model.clap.params, tiny_model.params),
  )
  text = "two short beeps"
  ids = [m.clap.tokenizer.encode(text).ids for m in (loaded, tiny_model)]
  assert ids[0] == ids[1]


def test_numbers_are_stored_as_float16(tiny_bundle):
  for name in ("codec", "clap", "experts"):
    stored = tensors.read(tiny_bundle / f"{name}.safetensors")
    assert {t.dtype for t in stored.values()} == {np.dtype(np.float16)}


@pytest.mark.parametrize("candidates", [0, 65])
def test_candidates_out_of_range_are_told(candidates, copy):
  edit(copy, candidates=candidates)
  with pytest.raises(UserError, match=f"candidates {candidates}.*1 to 64"):
    bundle.load(copy)


def test_nothing_is_written_over(tiny_model, copy):
  with pytest.raises(UserError, match="exists"):
    bundle.save(copy, tiny_model, "")
  with pytest.raises(UserError, match="exists"):
    bundle.save(copy / "README.md", tiny_model, "")


def test_a_failed_save_leaves_nothing(tiny_model, tmp_path):
  params = dict(tiny_model.clap.params)
  first = sorted(params)[0]
  params[first] = jax.tree.map(lambda x: x * np.nan, params[first])
  broken = dataclasses.replace(
    tiny_model, clap=dataclasses.replace(tiny_model.clap, params=params)
  )
  with pytest.raises(UserError, match=first):
    bundle.save(tmp_path / "new", broken, "")
  assert not list(tmp_path.iterdir())


def test_names_and_paths(tiny_bundle, monkeypatch):
  monkeypatch.setattr(bundle, "SHIPPED", tiny_bundle.parent)
  assert bundle.find("tiny") == tiny_bundle
  assert bundle.find(tiny_bundle) == tiny_bundle
  with pytest.raises(UserError, match="no model 'huge'.*tiny"):
    bundle.find("huge")


@pytest.mark.parametrize("name", sorted(FILES - {"README.md"}))
def test_a_missing_file_is_named(name, copy):
  (copy / name).unlink()
  with pytest.raises(UserError, match=name):
    bundle.load(copy)


@pytest.mark.parametrize("name", sorted(FILES - {"README.md"}))
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_file_is_named(name, share, copy):
  content = (copy / name).read_bytes()
  (copy / name).write_bytes(content[: int(share * len(content))])
  with pytest.raises(UserError, match=name):
    bundle.load(copy)


def test_other_formats_are_refused(copy):
  edit(copy, format=2)
  with pytest.raises(UserError, match="format 2"):
    bundle.load(copy)


@pytest.mark.parametrize("key", ["codec", "sampling", "candidates"])
def test_a_missing_section_is_named(key, copy):
  settings = json.loads((copy / "config.json").read_text())
  del settings[key]
  (copy / "config.json").write_text(json.dumps(settings))
  with pytest.raises(UserError, match=key):
    bundle.load(copy)


def test_an_unknown_setting_is_named(copy, tiny_model):
  values = dataclasses.asdict(tiny_model.config) | {"dimm": 3}
  edit(copy, experts=values)
  with pytest.raises(UserError, match=r"experts\.dimm.*did you mean 'dim'"):
    bundle.load(copy)


def test_config_and_tensors_must_agree(copy, tiny_model):
  values = dataclasses.asdict(tiny_model.config) | {"dim": 32}
  edit(copy, experts=values)
  with pytest.raises(UserError, match=r"experts\.safetensors: tensor '.*shape"):
    bundle.load(copy)


def test_parts_that_belong_together(tiny_model):
  bundle.check_parts(tiny_model)


def test_experts_of_another_codec_are_refused(tiny_model):
  params = jax.tree.map(lambda x: x + 0.1, tiny_model.codec.params)
  other = dataclasses.replace(tiny_model.codec, params=params)
  with pytest.raises(UserError, match="another codec"):
    bundle.check_parts(dataclasses.replace(tiny_model, codec=other))


def test_prompts_of_another_width_are_refused(tiny_model):
  config = dataclasses.replace(
    tiny_model.config, prompt_dim=tiny_model.config.prompt_dim * 2
  )
  with pytest.raises(UserError, match="prompts"):
    bundle.check_parts(dataclasses.replace(tiny_model, config=config))


def test_the_aligned_bundle_is_stage_1_but_for_its_policy():
  """What its model card says: parts of expert 0 were tuned, nothing else."""
  before, after = (
    bundle.load(f"nano-{name}") for name in ("stage1", "aligned")
  )
  assert after.sampling == before.sampling
  for part in ("codec", "clap"):
    chex.assert_trees_all_equal(
      getattr(after, part).params, getattr(before, part).params
    )
  flat = [
    flax.traverse_util.flatten_dict(m.params, sep="/") for m in (before, after)
  ]
  tuned = ("params/temporal", "params/depth", "params/summary")
  for name, old in flat[0].items():
    new = flat[1][name]
    np.testing.assert_array_equal(new[1:], old[1:])
    assert np.array_equal(new[0], old[0]) != name.startswith(tuned), name
