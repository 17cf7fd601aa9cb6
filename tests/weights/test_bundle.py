"""Bundles: whole ones come back, broken ones are told apart."""

import dataclasses
import json
import shutil

import huggingface_hub
import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from siren_jax import experts
from siren_jax.clap import tokenizer
from siren_jax.common.errors import UserError
from siren_jax.storage import folders, tensors
from siren_jax.weights import assembly, bundle, model_card

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


def test_execution_of_an_older_bundle_is_read_and_not_saved_again(
  tiny_model, copy, tmp_path
):
  execution = experts.Execution(
    dtype="bfloat16", scan_layers=True, remat=True, expert_loop="map"
  )
  sizes = dataclasses.asdict(tiny_model.config)
  edit(copy, experts=sizes | dataclasses.asdict(execution))
  loaded = bundle.load(copy)
  assert loaded.execution == loaded.models.execution == execution
  default = experts.Execution()
  assert bundle.load(copy, default).execution == default
  assert loaded.config == tiny_model.config
  bundle.save(tmp_path / "again", loaded, "")
  saved = json.loads((tmp_path / "again" / "config.json").read_text())
  assert saved["experts"] == sizes
  assert "execution" not in saved
  assert bundle.load(tmp_path / "again").execution == experts.Execution()


def test_numbers_are_stored_as_float16(tiny_bundle):
  for name in ("codec", "clap", "experts"):
    stored = tensors.read(tiny_bundle / f"{name}.safetensors")
    assert {t.dtype for t in stored.values()} == {np.dtype(np.float16)}


@pytest.mark.parametrize("candidates", [0, 65])
def test_candidates_out_of_range_are_refused(candidates, copy):
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


def test_a_bundle_is_found_by_its_name_or_path(tiny_bundle, monkeypatch):
  monkeypatch.setattr(folders, "SHIPPED", tiny_bundle.parent)
  assert folders.find("tiny") == tiny_bundle
  assert folders.find(tiny_bundle) == tiny_bundle
  with pytest.raises(UserError, match="no model 'huge'.*tiny"):
    folders.find("huge")


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
  bundle.check_components(tiny_model)


def test_experts_of_another_codec_are_refused(tiny_model):
  params = jax.tree.map(lambda x: x + 0.1, tiny_model.codec.params)
  other = dataclasses.replace(tiny_model.codec, params=params)
  with pytest.raises(UserError, match="another codec"):
    bundle.check_components(dataclasses.replace(tiny_model, codec=other))


def test_a_codec_put_in_the_place_of_another_is_named(copy):
  path = copy / "codec.safetensors"
  values = tensors.read(path)
  name = next(name for name in values if name.endswith("codebook"))
  save_file(values | {name: -values[name]}, path)
  with pytest.raises(UserError, match=f"{copy}: .*codes of another codec"):
    bundle.load(copy)


def test_prompts_of_another_width_are_refused(tiny_model):
  config = dataclasses.replace(
    tiny_model.config, prompt_dim=tiny_model.config.prompt_dim * 2
  )
  with pytest.raises(UserError, match="prompts"):
    bundle.check_components(dataclasses.replace(tiny_model, config=config))


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"max_seconds": "abc"}, "max_seconds='abc'"),
    ({"max_seconds": -1}, "max_seconds -1.0: must be above 0 and at most 3600"),
    ({"max_seconds": 1e9}, "max_seconds 1000000000.0: must be"),
    ({"candidates": "4"}, "candidates='4'"),
    ({"candidates": True}, "candidates=True"),
    ({"candidates": 1.5}, "candidates=1.5"),
    ({"name": 3}, "name 3 must be text"),
    ({"sampling": []}, "config sampling=.*group of settings"),
    ({"sampling": {"guidance": 1e39}}, "sampling.guidance=1e.39"),
    ({"sampling": {"guidance": 1e19}}, "guidance 1e.19: must be"),
    ({"sampling": {"temperature": 1e-39}}, "sampling.temperature=1e-39"),
    ({"sampling": {"top_k": 2**31}}, "top_k 2147483648: must be"),
  ],
)
def test_a_setting_out_of_its_range_is_named_with_its_file(
  changes, message, copy
):
  edit(copy, **changes)
  with pytest.raises(UserError, match=rf"copy/config\.json: .*{message}"):
    bundle.load(copy)


@pytest.mark.parametrize("text", ['{"format": NaN}', "[1]", "3", '{"a": 1}'])
def test_a_config_that_is_none_is_named(text, copy):
  (copy / "config.json").write_text(text)
  with pytest.raises(UserError, match=r"copy/config\.json"):
    bundle.load(copy)


def test_a_byte_order_mark_is_no_fault(copy):
  path = copy / "config.json"
  path.write_text(path.read_text(), "utf-8-sig")
  assert bundle.load(copy).name == "tiny"


@pytest.mark.parametrize("part", ["codec", "clap", "experts"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_weight_that_is_not_finite_is_named(part, value, copy):
  path = copy / f"{part}.safetensors"
  stored = tensors.read(path)
  name = sorted(stored)[-1]
  stored[name] = stored[name].copy()
  stored[name].flat[0] = value
  save_file(stored, path)
  with pytest.raises(UserError) as raised:
    bundle.load(copy)
  assert str(raised.value).startswith(f"{path}: tensor {name!r} is not finite")


def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in (".", tmp_path):
    with pytest.raises(UserError, match="is the current folder"):
      bundle.check_new(name)
  assert bundle.check_new("new").name == "new"


_STAND_INS = {
  "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid x\n",
  "web page": b"<!doctype html><html>404</html>",
}


@pytest.mark.parametrize("name", sorted(FILES - {"README.md"}))
@pytest.mark.parametrize("message", _STAND_INS)
def test_what_stands_in_place_of_a_file_is_named(name, message, copy):
  (copy / name).write_bytes(_STAND_INS[message])
  with pytest.raises(UserError, match=rf"copy/{name}.*{message}"):
    bundle.load(copy)


@pytest.mark.parametrize("message", _STAND_INS)
def test_what_stands_in_place_of_a_card_is_named(message, copy):
  (copy / "README.md").write_bytes(_STAND_INS[message])
  with pytest.raises(UserError, match=rf"copy/README.md.*{message}"):
    model_card.notes(copy)
  (copy / "README.md").write_bytes(b"# caf\xe9\n")
  with pytest.raises(UserError, match="not UTF-8"):
    model_card.notes(copy)
  (copy / "README.md").unlink()
  assert model_card.notes(copy) is None


def test_a_card_is_read_in_any_encoding_of_unicode(copy):
  (copy / "README.md").write_bytes("# a\r\n## café\r\nb".encode("utf-16"))
  assert model_card.notes(copy) == "## café\nb"


def test_a_tokenizer_of_more_words_than_the_text_tower_is_refused(
  copy, tiny_model
):
  size = tiny_model.clap.config.text.vocab_size
  words = [f"word{i}" for i in range(4 * size)]
  bigger = tokenizer.train(words, 2 * size, words)
  bigger.save(str(copy / "tokenizer.json"))
  with pytest.raises(UserError, match=f"tokenizer.json: ids up to.*{size}"):
    bundle.load(copy)


def test_a_bundle_of_experts_draws_as_it_did(copy):
  """Its settings are those of `generate` in what is made of it."""
  edit(copy, candidates=3, sampling={"guidance": 2.5})
  model = assembly.assemble(copy, "again", max_seconds=1.5)
  assert (model.candidates, model.max_seconds) == (3, 1.5)
  assert model.sampling.guidance == 2.5


def test_the_card_that_ships_is_the_one_that_is_rendered():
  folder = folders.find(None)
  license = model_card.license_of(folder)
  assert license == "apache-2.0"
  card = model_card.render(
    bundle.load(folder), model_card.notes(folder), license
  )
  assert (folder / "README.md").read_text("utf-8") == card


def test_a_card_has_the_front_matter_of_the_hub(tiny_model, copy):
  (copy / "README.md").write_text(model_card.render(tiny_model, None))
  values = huggingface_hub.metadata_load(copy / "README.md")
  assert values["license"] == "unknown"
  assert values["library_name"] == "siren-jax"
  assert values["pipeline_tag"] == "text-to-audio"
  assert {"text-to-audio", "jax", "flax"} <= set(values["tags"])
  assert {"text": "a dog barking"} in values["widget"]
  (copy / "README.md").write_text("---\nlicense: [\n---\n# tiny\n")
  with pytest.raises(UserError, match="README.md: its front matter"):
    model_card.license_of(copy)
