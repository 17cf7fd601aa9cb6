import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siren_jax import clap
from siren_jax.clap import task as tasks
from siren_jax.clap.corpus import Corpus
from siren_jax.common.errors import UserError
from siren_jax.training import OptimizerConfig


def _texts(width=6):
  rng = np.random.default_rng(0)
  teacher = rng.normal(size=(24, width))
  teacher /= np.maximum(np.linalg.norm(teacher, axis=-1, keepdims=True), 1e-9)
  ids = rng.integers(2, 100, (24, 5)).astype(np.int32)
  ids[::2, 3:] = 0
  label = np.where(np.arange(24) < 12, np.arange(24) % 3, -1).astype(np.int32)
  return Corpus(ids, ids > 0, teacher.astype(np.float16), label)


def _batch(texts, audio=True):
  words = {
    "extra_ids_QxP": texts.ids_QxP,
    "extra_mask_QxP": texts.mask_QxP,
    "extra_teacher_QxW": texts.teacher_QxW,
    "extra_label_Q": texts.label_Q,
  }
  rng = np.random.default_rng(1)
  sounds = {
    "audio_BxS": rng.normal(size=(6, 640)).astype("f4"),
    "ids_BxP": texts.ids_QxP[:6],
    "text_mask_BxP": texts.mask_QxP[:6],
    "label_B": texts.label_Q[:6],
  }
  return jax.tree.map(jnp.asarray, words | sounds if audio else words)


def _classes(texts):
  return tasks.TextClasses(
    ids_QxP=texts.ids_QxP,
    mask_QxP=texts.mask_QxP,
    prompt_Q=np.where(np.arange(24) < 6, texts.label_Q, -1),
    test_Q=np.where(np.arange(24) < 6, -1, texts.label_Q),
    count=3,
  )


def _task(config, texts, **changes):
  optimizer = OptimizerConfig(learning_rate=1e-2, warmup_steps=1, steps=100)
  settings = dict(
    config=config,
    loss=tasks.ClapLossConfig(),
    optimizer=optimizer,
    ema_decay=0.0,
    texts=texts,
    classes=_classes(texts),
  )
  return tasks.ClapTask(**settings | changes)


def _init(task):
  return jax.jit(lambda key: nn.unbox(task.init(key)))(jax.random.key(0))


@pytest.mark.long
@pytest.mark.parametrize("audio", [True, False])
def test_every_part_of_the_loss_falls(config, audio):
  texts = _texts()
  task = _task(config, texts)
  batch, state = _batch(texts, audio), _init(task)
  step = jax.jit(task.step)
  evaluate = jax.jit(task.evaluate)
  before = evaluate(state, batch)
  for i in range(60):
    state, metrics = step(state, batch, jax.random.key(i))
  after = evaluate(state, batch)
  parts = ["sentence", "token", "classes"] + ["contrast"] * audio
  for part in parts:
    assert after[part] < 0.8 * before[part], part
  assert np.isfinite(metrics["loss"])


def test_accuracies_are_those_of_the_nearest_class(config):
  texts = _texts()
  task = _task(config, texts)
  state, batch = _init(task), _batch(texts)
  # Rows 6 to 12 are tested; three of them are said to be of the next class.
  place = np.where(np.isin(np.arange(24), [7, 9, 10]), 1, 0)
  x_QxE = np.eye(10, dtype="f4")[(texts.label_Q + place) % 3] + 5

  def text(params, ids_BxP, mask_BxP):
    same_BxQ = (ids_BxP[:, None] == texts.ids_QxP).all(-1)
    x_BxE = jnp.asarray(x_QxE)[same_BxQ.argmax(1)]
    return jnp.repeat(x_BxE[:, None], 5, 1), x_BxE

  task._text = text
  task._audio = lambda p, audio, key=None: x_QxE[jnp.array([0, 1, 2, 0, 0, 0])]
  task._words = lambda p, b: {}
  metrics = task.evaluate(state, batch)
  np.testing.assert_allclose(metrics["text_accuracy"], 0.5)
  np.testing.assert_allclose(metrics["token_accuracy"], 0.5)
  np.testing.assert_allclose(metrics["audio_accuracy"], 4 / 6)


def test_loss_is_the_weighted_sum(config):
  texts = _texts()
  loss = tasks.ClapLossConfig(contrast=2.0, token=0.0)
  task = _task(config, texts, loss=loss)
  _, metrics = jax.jit(task.step)(_init(task), _batch(texts), jax.random.key(0))
  weights = dataclasses.asdict(loss)
  parts = ("contrast", "sentence", "token", "relation", "classes")
  expected = sum(weights[part] * metrics[part] for part in parts)
  np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)


def test_clips_of_one_class_are_no_negatives_of_each_other(config):
  texts = _texts()
  task = _task(config, texts)
  params = _init(task).params
  batch = _batch(texts)
  task._audio = lambda p, audio, key=None: jnp.eye(10)[batch["label_B"]] * 9
  task._text = lambda p, ids, mask: (None, jnp.eye(10)[batch["label_B"]])
  params["training"]["log_scale"] = jnp.log(50.0)
  # Twins tie: the best there is leaves the entropy of the two, not more.
  np.testing.assert_allclose(
    task._sounds(params, batch, None)["contrast"], np.log(2), atol=1e-3
  )
  alone = batch | {"label_B": jnp.full(6, -1)}
  assert task._sounds(params, alone, None)["contrast"] > 0.69
  # Of unknown class only the diagonal counts, unless the captions are equal.
  same = alone | {"ids_BxP": jnp.ones((6, 5), jnp.int32)}
  task._audio = lambda p, audio, key=None: jnp.ones((6, 10))
  task._text = lambda p, ids, mask: (None, jnp.ones((6, 10)))
  np.testing.assert_allclose(
    task._sounds(params, same, None)["contrast"], np.log(6), atol=1e-3
  )


@pytest.mark.long
def test_without_teacher_and_classes_contrast_alone_is_left(config):
  texts = _texts(width=0)
  task = _task(config, texts, classes=None)
  _, metrics = jax.jit(task.step)(_init(task), _batch(texts), jax.random.key(0))
  assert set(metrics) == {"loss", "contrast", "grad_norm"}


def test_without_a_teacher_only_known_classes_teach(config):
  texts = _texts(width=0)
  loss = tasks.ClapLossConfig(classes=1.0)
  task = _task(config, texts, loss=loss)
  state = _init(task)
  none = dataclasses.replace(texts, label_Q=np.full(24, -1, np.int32))
  step = jax.jit(task.step)
  before = _batch(texts, audio=False)
  _, metrics = step(state, before, jax.random.key(0))
  assert metrics["classes"] > 0
  _, metrics = step(state, _batch(none, audio=False), jax.random.key(0))
  assert metrics["classes"] == 0


def test_without_test_phrasings_their_accuracy_is_not_reported(config):
  texts = _texts()
  classes = _classes(texts)
  classes = dataclasses.replace(classes, test_Q=np.full(24, -1))
  task = _task(config, texts, classes=classes)
  metrics = task.evaluate(_init(task), _batch(texts))
  assert "text_accuracy" not in metrics and "audio_accuracy" in metrics


def test_rows_without_class_do_not_count_for_accuracy():
  guess = jnp.array([0, 1, 2, 0, 1, 2])
  label = jnp.array([0, 1, -1, -1, 0, 2])
  np.testing.assert_allclose(tasks._accuracy(guess, label), 3 / 4)


def test_training_starts_from_the_given_parameters(config, params):
  texts = _texts()
  start = {"text": {"words": np.full((120, 6), 0.5, np.float32)}}
  state = jax.eval_shape(  # boxes are kept
    _task(config, texts, start=start).init, jax.random.key(0)
  )
  assert state.params["text"]["words"].names == ("vocab", "embed")
  words = _init(_task(config, texts, start=start)).params["text"]["words"]
  np.testing.assert_array_equal(words, start["text"]["words"])
  again = _init(_task(config, texts, start=params)).params
  for part, tree in params.items():
    jax.tree.map(np.testing.assert_array_equal, again[part], tree)


def test_a_locked_text_tower_stays_bit_for_bit(config, params):
  texts = _texts()
  loss = tasks.ClapLossConfig(lock_text=True)
  task = _task(config, texts, start=params, loss=loss, ema_decay=0.5)
  state = _init(task)
  step = jax.jit(task.step)
  new, _ = step(state, _batch(texts), jax.random.key(0))  # Its rate is 0.
  new, metrics = step(new, _batch(texts), jax.random.key(1))
  assert set(metrics) == {"loss", "contrast", "grad_norm"}
  for tree in (new.params, new.ema):
    for part in ("text", "project_text"):
      jax.tree.map(np.testing.assert_array_equal, tree[part], params[part])
  old, moved = params["project_audio"], new.params["project_audio"]
  assert np.abs(moved["kernel"] - old["kernel"]).max() > 1e-4


def test_clips_learn_their_class_among_all(config, params):
  texts = _texts()
  loss = tasks.ClapLossConfig(lock_text=True, contrast=0.0, clip_classes=1.0)
  task = _task(config, texts, start=params, loss=loss)
  state, batch, step = _init(task), _batch(texts), jax.jit(task.step)
  _, first = step(state, batch, jax.random.key(0))
  # As from the definition: the mean prompts of all classes as logits.
  _, text_QxE = clap.encode_text(
    params, config, texts.ids_QxP[:6], texts.mask_QxP[:6]
  )
  unit_QxE = text_QxE / np.linalg.norm(text_QxE, axis=1, keepdims=True)
  prompts_OxE = np.stack(
    [unit_QxE[texts.label_Q[:6] == k].sum(0) for k in range(3)]
  )
  prompts_OxE /= np.linalg.norm(prompts_OxE, axis=1, keepdims=True)
  audio_BxE = clap.encode_audio(params, config, batch["audio_BxS"])
  audio_BxE /= np.linalg.norm(audio_BxE, axis=1, keepdims=True)
  log_BxO = jax.nn.log_softmax(10.0 * audio_BxE @ prompts_OxE.T)
  expected = -np.mean(log_BxO[np.arange(6), batch["label_B"]])
  np.testing.assert_allclose(first["clip_classes"], expected, rtol=1e-4)
  for i in range(20):
    state, last = step(state, batch, jax.random.key(i))
  assert last["clip_classes"] < first["clip_classes"] - 0.1
  unnamed = batch | {"label_B": jnp.full(6, -1)}
  assert step(state, unnamed, jax.random.key(0))[1]["clip_classes"] == 0


def test_classes_of_clips_need_texts_that_stay():
  with pytest.raises(UserError, match="lock_text"):
    tasks.ClapLossConfig(clip_classes=1.0)


def test_the_heads_of_training_do_not_ship(config):
  params = _init(_task(config, _texts())).params
  shapes = nn.unbox(
    jax.eval_shape(lambda k: clap.init(k, config), jax.random.key(0))
  )
  assert set(params) - set(shapes) == {"training"}
