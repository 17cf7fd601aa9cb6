"""Which recording goes where is known before any is read."""

import pytest

from siren_jax.common.errors import UserError
from siren_jax.data.preparation import plan
from siren_jax.data.preparation.config import AudioConfig
from siren_jax.data.sources.problems import Problems
from siren_jax.data.sources.recording import Recording


def recordings(count, **fields):
  return [
    Recording(f"r{i}", path=None, **{k: v[i] for k, v in fields.items()})
    for i in range(count)
  ]


def ids(part):
  return [r.id for r in part]


def test_splits_by_column_then_fold_then_hash():
  config = AudioConfig()
  parts = plan.assign_splits(
    recordings(3, split=["", "validation", "train"]), config
  )
  assert ids(parts["validation"]) == ["r1"]
  parts = plan.assign_splits(recordings(4, fold=["1", "2", "", "2"]), config)
  assert ids(parts["validation"]) == ["r1", "r3"]  # the last fold
  for folds, last in ((["9", "10"], "r1"), (["10", "9", "b", "a"], "r2")):
    clips = recordings(len(folds), fold=folds)
    assert ids(plan.assign_splits(clips, config)["validation"]) == [last]
  many = recordings(2000)
  parts = plan.assign_splits(many, config)
  assert 60 < len(parts["validation"]) < 140
  some = plan.assign_splits(many[1000:], config)  # stays where it was
  assert set(ids(some["validation"])) <= set(ids(parts["validation"]))
  assert len(plan.assign_splits(recordings(2), config)["validation"]) == 1


def test_splits_that_cannot_be_made():
  with pytest.raises(UserError, match="no such fold; there are 1, 2"):
    plan.assign_splits(
      recordings(2, fold=["1", "2"]), AudioConfig(validation_fold="5")
    )
  with pytest.raises(UserError, match="left for train"):
    plan.assign_splits(recordings(1), AudioConfig())


def test_a_plan_is_a_value():
  clips = recordings(
    3, split=["train", "validation", "train"], category=["dog", "dog", "rain"]
  )
  planned = plan.make_plan(clips, AudioConfig(synthetic=2, mixtures=4))
  assert planned == {
    "train": plan.SplitPlan((clips[0], clips[2]), range(2), 4),
    "validation": plan.SplitPlan((clips[1],)),
  }
  assert [part.size for part in planned.values()] == [8, 1]


def test_synthetic_sounds_validate_where_there_is_nothing_else():
  with pytest.raises(UserError, match="mixtures=3"):
    plan.make_plan([], AudioConfig(synthetic=40, mixtures=3))
  alone = plan.make_plan([], AudioConfig(synthetic=40))
  assert alone["validation"].synthetic == range(2)
  assert alone["train"].synthetic == range(2, 40)
  never = plan.with_usable(alone, lambda recording: False, Problems())
  assert never == alone


def test_few_recordings_are_tried_to_find_usable_ones():
  clips = recordings(6, split=["train"] * 3 + ["validation"] * 3)
  tried = []

  def is_usable(recording):
    tried.append(recording.id)
    return recording.id not in ("r3", "r4", "r5")

  first = plan.make_plan(clips, AudioConfig())
  second = plan.with_usable(first, is_usable, Problems())
  assert tried[:4] == ["r0", "r3", "r4", "r5"] and len(tried) == 5
  (moved,) = set(second["validation"].recordings) - {*clips[3:]}
  assert moved.id == tried[-1] in ("r1", "r2")
  assert set(second["train"].recordings) == {*clips[:3]} - {moved}


def test_kinds_without_a_training_recording_are_named(caplog):
  every = recordings(
    4, fold=["1", "1", "2", "2"], category=["rain", "owl", "owl", "a_bee"]
  )
  plan.make_plan(every, AudioConfig())
  assert "such as a bee, are only in the validation split" in caplog.text


def test_every_kind_can_be_trained_on():
  every = recordings(
    5,
    fold=["1", "2", "2", "2", "2"],
    category=["rain", "rain", "owl", "owl", ""],
  )
  parts = plan.assign_splits(every, AudioConfig(every_kind=True))
  assert ids(parts["train"]) == ["r0", "r2", "r3"]
  assert ids(parts["validation"]) == ["r1", "r4"]


def test_copies_of_rare_kinds():
  category = ["rain", "rain", "rain", "owl", "kick_drum", "bass drum"]
  every = recordings(7, fold=["1"] * 6 + ["2"], category=[*category, "rain"])
  planned = plan.make_plan(every, AudioConfig(balance=3))
  copies = [planned["train"].copies_of(r) for r in planned["train"].recordings]
  assert copies == [1, 1, 1, 3, 2, 2]
  assert planned["train"].size == 10 and planned["validation"].size == 1
  planned = plan.make_plan(every, AudioConfig(balance=1000))
  copies = [planned["train"].copies_of(r) for r in planned["train"].recordings]
  assert copies == [20] * 6
