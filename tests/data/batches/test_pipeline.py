import collections
import json

import grain
import numpy as np
import pytest

from siren_jax.common.errors import UserError
from siren_jax.common.shards import Shard
from siren_jax.data import augment
from siren_jax.data.batches import pipeline
from siren_jax.data.batches.stream import ReadConfig
from siren_jax.data.sets import schema, writer

RATE = 1000
COUNT = 13
VARIED = augment.AugmentConfig((-6, 6), (0.8, 1.2), 0.2, mix=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """13 sounds of one second; sound i is the constant i + 1."""

  def example(i):
    record = schema.Record(
      f"r{i}",
      np.full(RATE, i + 1, np.int16),
      RATE,
      (f"sound {i}", f"noise {i}"),
    )
    return record.id, schema.to_example(record)

  out = tmp_path_factory.mktemp("data") / "set"
  splits = {
    "train": map(example, range(COUNT)),
    "validation": map(example, range(5)),
  }
  writer.write(out, schema.audio_features(), splits)
  return out


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
  """7 records of 3 views; code = 100 * record + 10 * view + codebook."""

  def example(i):
    view, book = np.arange(3)[:, None, None], np.arange(2)[None, :, None]
    return f"r{i}", {
      "id": f"r{i}",
      "codes": (np.zeros((3, 2, 4)) + 100 * i + 10 * view + book).astype(
        np.uint16
      ),
      "num_frames": np.array([3, 4, 4], np.int32),
      "captions": ["x", "y"],
      "prompt": np.stack([np.full((5, 6), i), np.full((5, 6), i + 0.5)]).astype(
        np.float16
      ),
      "prompt_mask": np.arange(5) < np.array([[2], [3]]),
      "label": "",
    }

  out = tmp_path_factory.mktemp("data") / "codes"
  splits = {
    "train": map(example, range(7)),
    "validation": map(example, range(3)),
  }
  writer.write(out, schema.code_features(3, 2, 4, 5, 6), splits)
  return out


def audio(folder, split="train", batch_size=4, **options):
  options = {"crop_seconds": 0.5, **options}
  return pipeline.audio_batches(folder, split, batch_size, **options)


def take(batches, count):
  return [next(batches) for _ in range(count)]


def numbers(batches):
  """Which sounds are in the batches, row by row."""
  rows = np.concatenate([b["audio_BxS"] for b in batches])
  return np.round(rows[:, 0] * schema.INT16_SCALE).astype(int).tolist()


def assert_same(one, two):
  for a, b in zip(one, two, strict=True):
    assert a.keys() == b.keys()
    for name in a:
      np.testing.assert_array_equal(a[name], b[name])


def test_each_epoch_holds_every_record_once_in_a_new_order(folder):
  seen = numbers(take(audio(folder), COUNT))  # 4 epochs of 13
  epochs = [seen[i * COUNT : (i + 1) * COUNT] for i in range(4)]
  assert all(sorted(e) == list(range(1, COUNT + 1)) for e in epochs)
  assert len({tuple(e) for e in epochs}) == 4


def test_batches_are_float_crops(folder):
  batch = next(audio(folder))
  assert batch["audio_BxS"].shape == (4, RATE // 2)
  assert batch["audio_BxS"].dtype == np.float32


def test_seed_fixes_everything(folder):
  one, same, other = (
    take(audio(folder, config=VARIED, seed=s), 5) for s in (1, 1, 2)
  )
  assert_same(one, same)
  assert not np.allclose(one[0]["audio_BxS"], other[0]["audio_BxS"])


def test_resumes_from_json_state(folder):
  batches = audio(folder, config=VARIED)
  take(batches, 5)
  state = json.loads(json.dumps(batches.get_state()))
  expected = take(batches, 6)
  again = audio(folder, config=VARIED)
  take(again, 2)
  again.set_state(state)
  assert_same(take(again, 6), expected)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_the_global_batches(folder, processes):
  whole = take(audio(folder, config=VARIED), 7)
  parts = [
    take(audio(folder, config=VARIED, shard=Shard((p,), processes)), 7)
    for p in range(processes)
  ]
  joined = [
    {"audio_BxS": np.concatenate([p[i]["audio_BxS"] for p in parts])}
    for i in range(7)
  ]
  assert_same(joined, whole)


def test_state_survives_another_number_of_processes(folder):
  two = audio(folder, shard=Shard((0,), 2))
  take(two, 3)
  one = audio(folder)
  one.set_state(two.get_state())
  assert_same([next(one)], take(audio(folder), 4)[3:])


def test_shards_are_disjoint_and_complete_within_an_epoch(folder):
  batch_size = 4 * COUNT  # an epoch is a quarter of it
  shards = [
    numbers([next(audio(folder, "train", batch_size, shard=shard))])
    for shard in (Shard((0, 2), 4), Shard((1, 3), 4))
  ]
  counts = collections.Counter(shards[0] + shards[1])
  assert set(counts) == set(range(1, COUNT + 1))
  assert set(counts.values()) == {4}


def test_validation_is_finite_fixed_and_filled_up(folder):
  for batch_size, count in ((2, 3), (5, 1), (8, 1)):
    batches = list(audio(folder, "validation", batch_size))
    assert len(batches) == count
    assert {b["audio_BxS"].shape[0] for b in batches} == {batch_size}
    seen = numbers(batches)
    assert set(seen) == set(range(1, 6))
    assert seen[:5] == seen[5:10] or seen[5:] == seen[: len(seen) - 5]
  assert_same(audio(folder, "validation"), audio(folder, "validation"))


def test_mixing_joins_captions(folder):
  seen = []

  def text_features(captions):
    seen.extend(captions)
    return {"ids_BxP": np.array([[len(c)] for c in captions])}

  batches = pipeline.clap_batches(
    folder,
    "train",
    8,
    seconds=1.5,
    text_features=text_features,
    config=augment.AugmentConfig(mix=0.5),
  )
  taken = take(batches, 4)
  assert taken[0].keys() == {"audio_BxS", "ids_BxP"}
  assert taken[0]["audio_BxS"].shape == (8, 1500)
  assert not taken[0]["audio_BxS"][:, RATE:].any()
  captions = seen[:32]
  assert sum(" and " in c for c in captions) in range(6, 27)
  assert {c.split()[0] for c in captions} == {"sound", "noise"}
  # A caption belongs to its sound.
  for row, caption in zip(taken[0]["audio_BxS"], captions, strict=False):
    if " and " not in caption:
      value = round(float(row[0]) * schema.INT16_SCALE)
      assert int(caption.split()[1]) + 1 == value


def test_code_batches_pair_every_view_with_every_caption(codes):
  taken = take(pipeline.code_batches(codes, "train", 4), 30)
  first = taken[0]
  assert {k: (v.shape, v.dtype.name) for k, v in first.items()} == {
    "codes_BxNxT": ((4, 2, 4), "int32"),
    "frame_mask_BxT": ((4, 4), "bool"),
    "prompt_BxPxC": ((4, 5, 6), "float32"),
    "prompt_mask_BxP": ((4, 5), "bool"),
  }
  pairs = collections.Counter()
  for batch in taken:
    for row in range(4):
      codes_NxT = batch["codes_BxNxT"][row]
      number, view = codes_NxT[0, 0] // 100, codes_NxT[0, 0] % 100 // 10
      assert (codes_NxT[1] == codes_NxT[0] + 1).all()
      prompt = batch["prompt_BxPxC"][row, 0, 0]
      caption = int(2 * (prompt - number))
      assert batch["prompt_mask_BxP"][row].sum() == 2 + caption
      assert batch["frame_mask_BxT"][row].sum() == (4 if view else 3)
      pairs[view, caption] += 1
  assert len(pairs) == 6 and min(pairs.values()) > 5


@pytest.mark.parametrize("codebooks", [(3, 10000), (2, 100)])
def test_codes_of_another_codec_are_refused_by_record(codes, codebooks):
  batches = pipeline.code_batches(codes, "train", 4, codebooks=codebooks)
  with pytest.raises(
    UserError, match="record '.*has 2 codebooks .*but the codec has"
  ):
    next(batches)


def test_code_validation_takes_the_plain_view(codes):
  (batch,) = pipeline.code_batches(codes, "validation", 4)
  assert set(batch["codes_BxNxT"][:, 0, 0] % 100) == {0}


def test_the_place_in_another_order_is_refused_by_name(folder):
  batches = audio(folder)
  take(batches, 2)
  state = batches.get_state()
  with pytest.raises(UserError, match="order 'other-3'.*'grain-1'"):
    audio(folder).set_state(state | {"order": "other-3"})
  before_orders_had_names = audio(folder)
  before_orders_had_names.set_state(state["place"])
  assert_same([next(before_orders_had_names)], [next(batches)])


def test_one_record_is_enough(tmp_path):
  record = schema.Record("a", np.ones(RATE, np.int16), RATE, ("a",))
  example = ("a", schema.to_example(record))
  writer.write(tmp_path / "set", schema.audio_features(), {"train": [example]})
  assert numbers(take(audio(tmp_path / "set"), 2)) == [1] * 8


def test_impossible_batches_crops_and_splits_are_refused(folder):
  with pytest.raises(UserError, match="batch of 3 .* 2 devices"):
    audio(folder, batch_size=3, shard=Shard((0,), 2))
  with pytest.raises(UserError, match="batch of 0"):
    audio(folder, batch_size=0)
  with pytest.raises(UserError, match="longer than 0"):
    audio(folder, crop_seconds=0)
  with pytest.raises(UserError, match="1000 Hz, 16000 Hz needed"):
    audio(folder, sample_rate=16000)
  with pytest.raises(UserError, match="no split 'dev'"):
    audio(folder, "dev")


def test_reading_ahead_changes_no_batch(folder, monkeypatch):
  all_settings, options = [], grain.ReadOptions

  def read_options(**settings):
    all_settings.append(settings)
    return options(**settings)

  monkeypatch.setattr(grain, "ReadOptions", read_options)
  plain = audio(folder, config=VARIED)
  ahead = audio(folder, config=VARIED, reading=ReadConfig(3, 5))
  assert [tuple(settings.values()) for settings in all_settings] == [
    (1, 2),
    (3, 5),
  ]
  for one, other in zip(take(plain, 8), take(ahead, 8)):
    np.testing.assert_array_equal(one["audio_BxS"], other["audio_BxS"])
  assert plain.get_state() == ahead.get_state()
  for setting in ({"threads": 0}, {"prefetch": 0}):
    with pytest.raises(UserError, match=next(iter(setting))):
      ReadConfig(**setting)
