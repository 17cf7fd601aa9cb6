import os
import shutil
import weakref

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle

from siren_jax.common import files
from siren_jax.common.errors import UserError
from siren_jax.data.sets import contents, index, reader, schema, writer
from siren_jax.storage import folders

SHARD = "siren-train.array_record-00000"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n"


def record(number, size=100):
  audio_S = np.arange(1, size + 1).astype(np.int16) * (number + 1)
  return schema.Record(
    f"r{number}", audio_S, 8000, ("a dög", "barks"), "dog", "x"
  )


def examples(numbers):
  return [(f"r{n}", schema.to_example(record(n, 100 + n))) for n in numbers]


def write(out, numbers=range(5)):
  writer.write(
    out,
    schema.audio_features(),
    {"train": examples(numbers), "validation": examples([9])},
  )


def test_what_was_written_is_counted(tmp_path):
  splits = {"train": examples(range(3)), "validation": examples([9])}
  indices = writer.write(tmp_path / "set", schema.audio_features(), splits)
  assert {s: i.records for s, i in indices.items()} == {
    "train": 3,
    "validation": 1,
  }
  assert indices["train"].seconds == pytest.approx((100 + 101 + 102) / 8000)
  written = files.read_json(tmp_path / "set" / folders.FINGERPRINTS, "")
  assert written == {s: i.fingerprint for s, i in indices.items()}


def test_tfds_reads_it_back(tmp_path):
  write(tmp_path / "set")
  data = tfds.builder_from_directory(tmp_path / "set").as_data_source("train")
  elements = {e["id"].decode(): e for e in data}
  assert set(elements) == {f"r{n}" for n in range(5)}
  np.testing.assert_array_equal(elements["r3"]["audio"], record(3, 103).audio_S)


def test_a_set_gives_back_the_records_written_to_it(tmp_path):
  write(tmp_path / "set")
  source = reader.open_source(tmp_path / "set", "train")
  assert len(source) == 5
  again = {source[i]["id"]: source[i] for i in range(5)}
  written = schema.to_example(record(2, 102))
  assert again["r2"].keys() == written.keys()
  assert again["r2"]["audio"].dtype == np.int16
  for name, value in written.items():
    np.testing.assert_array_equal(again["r2"][name], value)
  assert reader.splits(tmp_path / "set") == ("train", "validation")
  assert reader.captions(tmp_path / "set") == ["a dög", "barks"]


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
  features = schema.code_features(2, 3, 4, 5, 6)
  writer.write(tmp_path / "set", features, {"train": [("a", example)]})
  element = reader.open_source(tmp_path / "set", "train")[0]
  for name in ("codes", "num_frames", "prompt", "prompt_mask"):
    assert element[name].dtype == example[name].dtype, name
    np.testing.assert_array_equal(element[name], example[name])


def test_failure_leaves_the_old_set_and_nothing_else(tmp_path):
  write(tmp_path / "set")

  def broken():
    yield from examples(range(3))
    raise UserError("a broken file")

  with pytest.raises(UserError, match="a broken file"):
    writer.write(tmp_path / "set", schema.audio_features(), {"train": broken()})
  assert len(reader.open_source(tmp_path / "set", "train")) == 5
  assert os.listdir(tmp_path) == ["set"]


def test_replaces_a_set_but_nothing_else(tmp_path):
  write(tmp_path / "set")
  write(tmp_path / "set", range(2))
  assert len(reader.open_source(tmp_path / "set", "train")) == 2
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "thesis.txt").write_text("x")
  with pytest.raises(UserError, match="not a data set"):
    write(tmp_path / "mine")
  assert (tmp_path / "mine" / "thesis.txt").exists()
  (tmp_path / "file").write_text("x")
  with pytest.raises(UserError, match="cannot write"):
    write(tmp_path / "file" / "set")
  assert sorted(os.listdir(tmp_path)) == ["file", "mine", "set"]


def test_memory_does_not_limit_a_set(tmp_path, monkeypatch):
  # Beyond this size, the builder of TFDS needs TensorFlow.
  monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 1)
  monkeypatch.setattr(writer, "_SHARD_BYTES", 1000)
  write(tmp_path / "set", range(30))
  assert len(list((tmp_path / "set").glob("siren-train*"))) > 5
  assert len(reader.open_source(tmp_path / "set", "train")) == 30


def test_records_are_shuffled_by_their_ids(tmp_path):
  write(tmp_path / "set", range(30))
  write(tmp_path / "other", reversed(range(30)))
  ids, other = (
    [e["id"] for e in reader.texts(tmp_path / name, "train", "id")]
    for name in ("set", "other")
  )
  assert ids == other
  assert ids not in (sorted(ids), [f"r{n}" for n in range(30)])


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
  def full(*_):
    raise RuntimeError("write() failed: No space left on device; path: x")

  monkeypatch.setattr(writer, "_write_splits", full)
  with pytest.raises(UserError, match="No space left on device.*free space"):
    write(tmp_path / "set")
  assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("what", ["the current folder", "a mount point"])
def test_a_folder_that_cannot_be_replaced_is_refused_first(
  what, tmp_path, monkeypatch
):
  if what == "a mount point":
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
  else:
    monkeypatch.chdir(tmp_path)
  with (
    pytest.raises(UserError, match=f"is {what}"),
    writer.claim(tmp_path, overwrite=True),
  ):
    pass


def test_a_reader_notices_that_its_set_was_replaced(tmp_path):
  write(tmp_path / "set")
  source = reader.open_source(tmp_path / "set", "train", cached=False)
  assert source[0]["id"] == source[0]["id"]
  write(tmp_path / "set", range(20, 25))
  with pytest.raises(UserError, match="another data set took its place"):
    source[0]


def test_unknown_sets_and_splits(tmp_path):
  with pytest.raises(UserError, match="prepare-data"):
    reader.open_source(tmp_path, "train")
  write(tmp_path / "set")
  with pytest.raises(UserError, match="no split 'test'; it has train, val"):
    reader.open_source(tmp_path / "set", "test")


def test_texts_are_read_without_the_sound(tmp_path, monkeypatch):
  write(tmp_path / "set")
  whole = reader.open_source(tmp_path / "set", "train")
  expected = [
    {name: whole[i][name] for name in ("captions", "label")}
    for i in range(len(whole))
  ]

  def decoded(*_):
    raise AssertionError("sound was decoded")

  monkeypatch.setattr(tfds.features.Tensor, "decode_example_np", decoded)
  with pytest.raises(UserError, match="sound was decoded"):
    whole = reader.open_source(tmp_path / "set", "validation")[0]
  texts = reader.texts(tmp_path / "set", "train", "captions", "label")
  assert texts == expected
  assert reader.captions(tmp_path / "set") == ["a dög", "barks"]


def test_fingerprint_is_of_the_content(tmp_path):
  write(tmp_path / "a")
  write(tmp_path / "b")
  first = index.fingerprint(tmp_path / "a")
  assert index.fingerprint(tmp_path / "b") == first
  shutil.move(tmp_path / "b", tmp_path / "elsewhere")
  assert index.fingerprint(tmp_path / "elsewhere") == first
  write(tmp_path / "a", range(4))
  assert index.fingerprint(tmp_path / "a") != first


@pytest.mark.parametrize(
  "name, value",
  [
    ("id", "r7"),
    ("audio", np.array([1, 2, 4], np.int16)),
    ("sample_rate", 8001),
    ("captions", ["a dog", "barks"]),
    ("captions", ["barks", "a dög"]),
    ("label", "cat"),
    ("source", "y"),
  ],
)
def test_fingerprint_depends_on_every_field(tmp_path, name, value):
  example = schema.to_example(record(3, 3))
  for out, changed in (("a", example), ("b", example | {name: value})):
    writer.write(
      tmp_path / out, schema.audio_features(), {"train": [("key", changed)]}
    )
  a, b = (index.fingerprint(tmp_path / out) for out in ("a", "b"))
  assert a != b


def test_fingerprint_holds_the_encoders_of_a_code_set(tmp_path):
  def written(weights):
    writer.write(
      tmp_path / "set",
      schema.audio_features(),
      {"train": examples([1])},
      lambda folder: (folder / "codec.safetensors").write_bytes(weights),
    )
    return index.fingerprint(tmp_path / "set")

  assert written(b"one") == written(b"one") != written(b"two")


def test_a_set_without_a_fingerprint_has_the_same_one(tmp_path, caplog):
  write(tmp_path / "set")
  expected = index.fingerprint(tmp_path / "set")
  assert not caplog.text
  (tmp_path / "set" / folders.FINGERPRINTS).unlink()
  assert index.fingerprint(tmp_path / "set") == expected
  assert "has no fingerprint, so all of it is read" in caplog.text


@pytest.mark.parametrize(
  "read_all", [index.fingerprint, lambda path: list(contents.counts(path))]
)
def test_a_pass_over_a_set_keeps_no_records(tmp_path, monkeypatch, read_all):
  write(tmp_path / "set", range(20))
  (tmp_path / "set" / folders.FINGERPRINTS).unlink()
  decode, kept, most = reader._decode, weakref.WeakSet(), 0

  def counted(element):
    nonlocal most
    record = _Record(decode(element))
    kept.add(record)
    most = max(most, len(kept))
    return record

  monkeypatch.setattr(reader, "_decode", counted)
  read_all(tmp_path / "set")
  assert 1 <= most <= 3


class _Record(dict):
  """A dictionary that can be referred to weakly, and is equal to itself."""

  __hash__, __eq__ = object.__hash__, object.__eq__


@pytest.mark.parametrize(
  ("content", "message"),
  [(LFS, "Git LFS pointer"), (b'{"a": "1", "a": "2"}', "duplicate key")],
)
def test_a_broken_fingerprint_is_one_line(tmp_path, content, message):
  write(tmp_path / "set")
  (tmp_path / "set" / folders.FINGERPRINTS).write_bytes(content)
  with pytest.raises(
    UserError, match=rf"{folders.FINGERPRINTS}: .*{message}.*; copy"
  ):
    index.fingerprint(tmp_path / "set")


def test_fingerprint_of_a_file_is_of_its_bytes(tmp_path):
  (tmp_path / "a.txt").write_text("rain")
  (tmp_path / "b.txt").write_text("rain")
  (tmp_path / "c.txt").write_text("snow")
  a, b, c = (index.fingerprint(tmp_path / f"{name}.txt") for name in "abc")
  assert a == b != c
  with pytest.raises(UserError, match="no prepared data set"):
    index.fingerprint(tmp_path / "none")


def test_only_one_at_a_time_may_write(tmp_path):
  with writer.claim(tmp_path / "set"):
    with pytest.raises(UserError, match=f"in use by process {os.getpid()} on"):
      with writer.claim(tmp_path / "set"):
        pass
    write(tmp_path / "set")
  with pytest.raises(UserError, match="--overwrite"):
    with writer.claim(tmp_path / "set"):
      pass
  with writer.claim(tmp_path / "set", overwrite=True):
    pass
  assert os.listdir(tmp_path) == ["set"]


def test_a_crash_between_the_renames_loses_nothing(tmp_path, monkeypatch):
  write(tmp_path / "set")
  replace = os.replace

  def crash(source, target):
    if target == tmp_path / "set":
      monkeypatch.setattr(os, "replace", lambda *_: None)  # no clean-up either
      raise KeyboardInterrupt
    replace(source, target)

  monkeypatch.setattr(os, "replace", crash)
  with pytest.raises(KeyboardInterrupt):
    write(tmp_path / "set", range(2))
  monkeypatch.undo()
  with pytest.raises(UserError, match=r"was moved to .*\.set\.previous"):
    reader.open_source(tmp_path / "set", "train")
  (tmp_path / ".set.partial-x").mkdir()  # as a killed process leaves it
  with pytest.raises(UserError, match="--overwrite"):
    with writer.claim(tmp_path / "set"):
      pass
  assert len(reader.open_source(tmp_path / "set", "train")) == 5
  assert os.listdir(tmp_path) == ["set"]


def test_a_failed_rename_puts_the_old_set_back(tmp_path, monkeypatch):
  write(tmp_path / "set")
  replace = os.replace

  def fail(source, target):
    if target == tmp_path / "set" and "partial" in str(source):
      raise OSError(5, "Input/output error")
    replace(source, target)

  monkeypatch.setattr(os, "replace", fail)
  with pytest.raises(UserError, match="Input/output error"):
    write(tmp_path / "set", range(2))
  assert len(reader.open_source(tmp_path / "set", "train")) == 5


@pytest.mark.parametrize(
  "file, content, message",
  [
    (folders.DATASET_INFO, LFS, "Git LFS pointer"),
    (folders.DATASET_INFO, b"", "an empty file"),
    ("features.json", LFS, "Git LFS pointer"),
    (SHARD, LFS, "Git LFS pointer"),
    (SHARD, b"x" * 99, "not a valid data"),
  ],
)
def test_a_broken_set_is_one_line(tmp_path, file, content, message):
  write(tmp_path / "set")
  (tmp_path / "set" / file).write_bytes(content)
  for read in (
    lambda: reader.open_source(tmp_path / "set", "train")[0],
    lambda: reader.captions(tmp_path / "set"),
  ):
    with pytest.raises(UserError, match=message) as error:
      read()
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
  "error, raised, message",
  [
    (TypeError("a bug\nof ours"), UserError, r"TypeError\('a bug\\nof"),
    (MemoryError("8 TiB"), MemoryError, "8 TiB"),
  ],
)
def test_what_the_reader_raises_keeps_its_kind(
  tmp_path, monkeypatch, error, raised, message
):
  write(tmp_path / "set")

  def fail(path):
    raise error

  monkeypatch.setattr(tfds, "builder_from_directory", fail)
  with pytest.raises(raised, match=message):
    reader.splits(tmp_path / "set")
