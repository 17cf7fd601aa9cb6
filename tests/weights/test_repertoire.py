"""What a bundle knows: kept, checked, and shown in its model card."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from siren_jax.common.errors import UserError
from siren_jax.weights import model_card, repertoire
from siren_jax.weights.repertoire import Credit, Kind, Repertoire


def make(width=6):
  """A text of each sort for each axis.

  Phrases of dogs and of rain, two words, a description of dogs, several sounds.
  """
  axes = repertoire.stored(np.eye(width))
  return Repertoire(
    kinds=(
      Kind("dog bark", "animals", "a dog barking", 2, 7.5, 0.25),
      Kind("rain", "weather", "rain on a roof", 3),
    ),
    credits=(
      Credit("", "CC0", "", 2),
      Credit("A*B [x]\n(y)", "CC-BY-4.0", "github:a/b_c", 3),
    ),
    known_IxE=axes[[0, 1]],
    kind_I=np.array([0, 1], np.int32),
    other_IxE=axes[[2, 3]],
    described_IxE=axes[[4]],
    described_kind_I=np.array([0], np.int32),
    several_IxE=axes[[5]],
  )


def arrays_of(known):
  names = ("known_IxE", "kind_I", "other_IxE")
  names += ("described_IxE", "described_kind_I", "several_IxE")
  return {name: getattr(known, name) for name in names}


def test_what_is_saved_comes_back(tmp_path):
  before = make()
  repertoire.save(tmp_path, before)
  after = repertoire.load(tmp_path)
  assert after.kinds == before.kinds and after.credits == before.credits
  assert after.far_threshold == before.far_threshold
  for name, array in arrays_of(before).items():
    np.testing.assert_array_equal(arrays_of(after)[name], array)
    assert arrays_of(after)[name].dtype == array.dtype


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
  credit = Credit("Ann", "https://cc.org/by/3.0", "", 1)
  with pytest.raises(UserError, match="credits.license"):
    repertoire.save(tmp_path, dataclasses.replace(make(), credits=(credit,)))
  assert list(tmp_path.iterdir()) == []


def test_an_older_bundle_has_no_repertoire(tmp_path):
  assert repertoire.load(tmp_path) is None


@pytest.mark.parametrize("name", ["kinds.json", "kinds.safetensors"])
def test_one_file_without_the_other_is_refused(name, tmp_path):
  repertoire.save(tmp_path, make())
  (tmp_path / name).unlink()
  with pytest.raises(UserError, match=name):
    repertoire.load(tmp_path)


@pytest.mark.parametrize(
  ("place", "value", "message"),
  [
    (("kinds", 0, "clips"), 0, "clips"),
    (("kinds", 0, "clips"), "many", "clips"),
    (("kinds", 1, "quality"), 1.5, "quality"),
    (("credits", 0, "author"), 7, "author"),
    (("far_threshold",), None, "far_threshold"),
    (("kinds",), [], "kinds"),
    (("more",), 1, "more"),
  ],
)
def test_text_that_is_wrong_is_named(place, value, message, tmp_path):
  repertoire.save(tmp_path, make())
  content = json.loads((tmp_path / "kinds.json").read_text())
  *outer, last = place
  part = content
  for key in outer:
    part = part[key]
  part[last] = value
  (tmp_path / "kinds.json").write_text(json.dumps(content))
  with pytest.raises(UserError, match=message) as error:
    repertoire.load(tmp_path)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"kind_I": np.array([0, 2], np.int32)}, "kinds"),
    ({"kind_I": np.array([0], np.int32)}, "phrases"),
    ({"known_IxE": np.zeros((2, 6), np.float32)}, "known_IxE"),
    ({"other_IxE": np.zeros(6, np.int8)}, "other_IxE"),
    ({"described_kind_I": np.array([2], np.int32)}, "kinds"),
    ({"described_kind_I": np.array([0, 1], np.int32)}, "descriptions"),
    ({"seventh": np.zeros(6, np.int8)}, "seventh"),
  ],
)
def test_embeddings_that_are_wrong_are_named(changes, message, tmp_path):
  repertoire.save(tmp_path, make())
  save_file(arrays_of(make()) | changes, tmp_path / "kinds.safetensors")
  with pytest.raises(UserError, match=message):
    repertoire.load(tmp_path)


def test_embeddings_of_another_clap_are_refused():
  make(width=6).check(6)
  with pytest.raises(UserError, match="6 wide.*8 wide"):
    make(width=6).check(8)
  with pytest.raises(UserError, match="several_IxE is 7 wide"):
    other = np.zeros((1, 7), np.int8)
    dataclasses.replace(make(width=6), several_IxE=other).check(6)


def test_a_text_is_near_its_kind_and_far_among_other_words():
  known = make()
  near_E, far_E = np.zeros(6), np.zeros(6)
  near_E[:2], far_E[[0, 2, 3]] = (0.8, 0.6), (0.1, 1, 0.1)
  assert known.margin(near_E) > known.far_threshold > known.margin(far_E)


def test_an_older_file_has_no_descriptions(tmp_path):
  repertoire.save(tmp_path, make())
  arrays = arrays_of(make())
  older = {name: arrays[name] for name in ("known_IxE", "kind_I", "other_IxE")}
  save_file(older, tmp_path / "kinds.safetensors")
  known = repertoire.load(tmp_path)
  known.check(6)
  assert known.described_IxE.shape == known.several_IxE.shape == (0, 6)
  assert known.described_kind_I.shape == (0,)
  assert known.margin(np.eye(6)[0]) == make().margin(np.eye(6)[0])


def test_quality_is_that_of_known_kinds():
  measured = make().measured({"rain": 1})
  assert [kind.quality for kind in measured.kinds] == [0.25, 1]
  for wrong in ({"hail": 0.5}, {"rain": 2}, {"rain": "good"}, [0.5]):
    with pytest.raises(UserError, match="hail|quality"):
      make().measured(wrong)


def test_the_card_lists_kinds_and_recordists_once(tiny_model, tmp_path):
  model = dataclasses.replace(tiny_model, repertoire=make())
  card = model_card.render(model, None, "cc0-1.0")
  examples = "".join(
    f"- text: {kind.example}\n" for kind in model.repertoire.kinds
  )
  assert "license: cc0-1.0\n" in card and f"widget:\n{examples}" in card
  assert "dog bark (2, 25%)" in card and "rain (3)" in card
  assert "2 kinds in 2 groups, of 5 clips" in card
  assert "| CC0 | 2 |" in card and "| CC-BY-4.0 | 3 |" in card
  assert r"- **github:a/b\_c**: A\*B \[x\] (y) (CC-BY-4.0, 3)" in card
  assert "has not said" not in card
  # Notes of an exported bundle go into the next card; its kinds are its own.
  for written in ("## Limits\n\nIt is small.", "Ann.\n\n# Limits\n\n## Size"):
    (tmp_path / "README.md").write_text(model_card.render(model, written))
    notes = model_card.notes(tmp_path)
    assert notes == written
  # That nobody has said anything is no note.
  bare = dataclasses.replace(tiny_model, repertoire=None)
  (tmp_path / "README.md").write_text(model_card.render(bare, None))
  assert "has not said" in (tmp_path / "README.md").read_text()
  assert model_card.notes(tmp_path) is None
  assert model_card.render(model, notes).count("## Kinds of sound") == 1


def test_no_groups_are_lost():
  groups = make().groups
  assert {n: [k.name for k in g] for n, g in groups.items()} == {
    "animals": ["dog bark"],
    "weather": ["rain"],
  }
