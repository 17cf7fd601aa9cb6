import os

import numpy as np
import pytest
import tensorflow_datasets as tfds

from siren_jax.common.errors import UserError
from siren_jax.data import builder, records, store


def record(number, size=100):
  audio_S = np.arange(1, size + 1).astype(np.int16) * (number + 1)
  return records.Record(
    f"r{number}", audio_S, 8000, ("a dög", "barks"), "dog", "x"
  )


def examples(numbers):
  return [(f"r{n}", records.to_example(record(n, 100 + n))) for n in numbers]


def write(out, numbers=range(5)):
  builder.write(
    out,
    builder.audio_features(),
    {"train": examples(numbers), "validation": examples([9])},
  )


def test_tfds_reads_it_back(tmp_path):
  write(tmp_path / "set")
  data = tfds.builder_from_directory(tmp_path / "set").as_data_source("train")
  found = {e["id"].decode(): e for e in data}
  assert set(found) == {f"r{n}" for n in range(5)}
  np.testing.assert_array_equal(found["r3"]["audio"], record(3, 103).audio_S)


def test_store_gives_records(tmp_path):
  write(tmp_path / "set")
  source = store.open_source(tmp_path / "set", "train")
  assert len(source) == 5
  again = {source[i]["id"]: records.from_example(source[i]) for i in range(5)}
  assert again["r2"].captions == ("a dög", "barks")
  assert again["r2"].audio_S.dtype == np.int16
  np.testing.assert_array_equal(again["r2"].audio_S, record(2, 102).audio_S)
  assert store.splits(tmp_path / "set") == ("train", "validation")
  assert store.captions(tmp_path / "set") == ["a dög", "barks"]


def test_npz_holds_the_same(tmp_path):
  write(tmp_path / "set")
  store.export_npz(tmp_path / "set", tmp_path / "set.npz")
  assert store.splits(tmp_path / "set.npz") == ("train", "validation")
  for split in ("train", "validation"):
    folder = store.open_source(tmp_path / "set", split)
    file = store.open_source(tmp_path / "set.npz", split)
    assert len(folder) == len(file)
    for i in range(len(folder)):
      assert folder[i].keys() == file[i].keys()
      for name, value in folder[i].items():
        np.testing.assert_array_equal(value, file[i][name])
        assert np.asarray(value).dtype == np.asarray(file[i][name]).dtype


def test_code_features_keep_shapes_and_types(tmp_path):
  codes = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(np.uint16) + 65000
  example = {
    "id": "a",
    "codes": codes,
    "num_frames": np.array([4, 2], np.int32),
    "captions": ["x"],
    "prompt": np.full((1, 5, 6), 0.1, np.float16),
    "prompt_mask": np.array([[True, True, False, False, False]]),
    "label": "",
  }
  features = builder.code_features(2, 3, 4, 5, 6)
  builder.write(tmp_path / "set", features, {"train": [("a", example)]})
  element = store.open_source(tmp_path / "set", "train")[0]
  for name in ("codes", "num_frames", "prompt", "prompt_mask"):
    assert element[name].dtype == example[name].dtype, name
    np.testing.assert_array_equal(element[name], example[name])


def test_failure_leaves_the_old_set_and_nothing_else(tmp_path):
  write(tmp_path / "set")

  def broken():
    yield from examples(range(3))
    raise UserError("a broken file")

  with pytest.raises(UserError, match="a broken file"):
    builder.write(
      tmp_path / "set", builder.audio_features(), {"train": broken()}
    )
  assert len(store.open_source(tmp_path / "set", "train")) == 5
  assert os.listdir(tmp_path) == ["set"]


def test_replaces_a_set_but_nothing_else(tmp_path):
  write(tmp_path / "set")
  write(tmp_path / "set", range(2))
  assert len(store.open_source(tmp_path / "set", "train")) == 2
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "thesis.txt").write_text("x")
  with pytest.raises(UserError, match="not a data set"):
    write(tmp_path / "mine")
  assert (tmp_path / "mine" / "thesis.txt").exists()
  (tmp_path / "file").write_text("x")
  with pytest.raises(UserError, match="cannot write"):
    write(tmp_path / "file" / "set")
  assert sorted(os.listdir(tmp_path)) == ["file", "mine", "set"]


def test_unknown_sets_and_splits(tmp_path):
  with pytest.raises(UserError, match="prepare-data"):
    store.open_source(tmp_path, "train")
  with pytest.raises(UserError, match="no such file"):
    store.open_source(tmp_path / "a.npz", "train")
  (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 cut")
  with pytest.raises(UserError, match="npz"):
    store.open_source(tmp_path / "b.npz", "train")
  write(tmp_path / "set")
  with pytest.raises(UserError, match="no split 'test'; it has train, val"):
    store.open_source(tmp_path / "set", "test")
