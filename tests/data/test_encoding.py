import types

import numpy as np
import pytest

from siren_jax.common.errors import UserError
from siren_jax.data import augment, encoding
from siren_jax.data.sets import reader, schema, writer

RATE, HOP, TOKENS = 1000, 100, 4


class FakeCodec:
  """Codebook 0 holds the level of a frame, codebook 1 whether it sounds."""

  config = types.SimpleNamespace(sample_rate=RATE)

  def __init__(self):
    self.shapes = set()

  def encode(self, audio_BxS):
    self.shapes.add(audio_BxS.shape)
    frames_BxTxW = audio_BxS.reshape(len(audio_BxS), -1, HOP)
    level_BxT = np.abs(frames_BxTxW).mean(-1)
    return np.stack([1000 * level_BxT, level_BxT > 0], 1).astype(np.int32)


class FakeText:
  """Token p of a caption is its p-th word's length."""

  def __init__(self):
    self.seen, self.sizes = [], set()

  def encode_text(self, texts):
    self.seen += texts
    self.sizes.add(len(texts))
    words = [t.split()[:TOKENS] for t in texts]
    mask = np.arange(TOKENS) < np.array([[len(w)] for w in words])
    tokens = np.zeros((len(texts), TOKENS, 2), np.float32)
    for row, w in zip(tokens, words, strict=True):
      row[: len(w), 0] = [len(x) for x in w]
    return tokens, mask, None


@pytest.fixture
def audio_set(tmp_path):
  def example(i, size):
    audio_S = np.full(size, 3000 * (i + 1), np.int16)
    record = schema.Record(
      f"r{i}", audio_S, RATE, ("a dog", f"the loud dog {i}"), "dog"
    )
    return record.id, schema.to_example(record)

  splits = {
    "train": [example(i, 2000 if i % 2 else 300) for i in range(5)],
    "validation": [example(5, 2000)],
  }
  writer.write(tmp_path / "audio", schema.audio_features(), splits)
  return tmp_path / "audio"


def prepare(audio_set, **settings):
  codec, text = FakeCodec(), FakeText()
  config = encoding.CodesConfig(**{"seconds": 2.0, "views": 3} | settings)
  out = audio_set.parent / "codes"
  counts = encoding.prepare_codes(
    audio_set, codec, text, out, config, overwrite=True
  )
  source = reader.open_source(out, "train")
  elements = {source[i]["id"]: source[i] for i in range(len(source))}
  return codec, text, counts, elements


def test_records_hold_codes_of_all_views_and_prompts(audio_set):
  codec, text, counts, elements = prepare(audio_set)
  assert counts == {"train": 5, "validation": 1} and len(elements) == 5
  assert len(codec.shapes) == 1 and len(text.sizes) == 1  # compiles once
  element = elements["r3"]
  assert element["codes"].shape == (3, 2, 20)
  assert element["codes"].dtype == np.uint16
  assert element["num_frames"].tolist() == [20, 20, 20]
  assert element["prompt"].dtype == np.float16
  assert element["prompt"][:, :, 0].tolist() == [[1, 3, 0, 0], [3, 4, 3, 1]]
  assert element["prompt_mask"].sum(1).tolist() == [2, 4]
  level = 1000 * 12000 / schema.INT16_SCALE
  np.testing.assert_allclose(element["codes"][0, 0], level, atol=1)


def test_every_record_gets_its_own_codes(audio_set):
  for batch_records in (1, 2, 7):  # 5 records: full, filled up, one batch
    _, _, _, elements = prepare(audio_set, batch_records=batch_records)
    for i in range(5):
      level = 1000 * 3000 * (i + 1) / schema.INT16_SCALE
      assert abs(int(elements[f"r{i}"]["codes"][0, 0].max()) - level) <= 1


def test_first_view_is_plain_the_others_vary(audio_set):
  how = augment.AugmentConfig(gain_db=(-6.0, -5.0), shift_seconds=1.0)
  _, _, _, elements = prepare(audio_set, augment=how)
  short = elements["r4"]["codes"]  # 0.3 of 2 seconds
  assert short[0, 1].tolist() == [1] * 3 + [0] * 17
  assert all(3 <= view.sum() <= 4 for view in short[1:, 1])
  starts = {int(view.argmax()) for view in short[:, 1]}
  assert len(starts) > 1
  assert short[1:, 0].max() < 0.6 * short[0, 0].max()


def test_loop_fills_the_window(audio_set):
  how = augment.AugmentConfig(fit="loop")
  _, _, _, elements = prepare(audio_set, augment=how)
  assert elements["r4"]["codes"][:, 1].all()


def test_a_caption_is_encoded_once(audio_set):
  _, text, _, _ = prepare(audio_set)
  distinct = {"a dog"} | {f"the loud dog {i}" for i in range(6)}
  assert set(text.seen) == distinct
  # Rows of batches that captions fill: two for the first record, then one.
  assert len(text.seen) == 6 * encoding.TEXT_BATCH
  _, text, _, _ = prepare(audio_set, batch_captions=3)
  assert text.sizes == {3} and set(text.seen) == distinct


def test_another_sample_rate_and_impossible_settings_are_refused(audio_set):
  codec = FakeCodec()
  codec.config = types.SimpleNamespace(sample_rate=16000)
  with pytest.raises(UserError, match="1000 Hz, codec at 16000 Hz"):
    encoding.prepare_codes(audio_set, codec, FakeText(), audio_set.parent / "c")
  assert not (audio_set.parent / "c").exists()
  for setting in (
    {"views": 0},
    {"seconds": 0.0},
    {"seconds": float("nan")},
    {"seed": -1},
    {"batch_records": 0},
    {"batch_captions": 0},
  ):
    with pytest.raises(UserError, match=next(iter(setting))):
      encoding.CodesConfig(**setting)


def test_prompts_that_float16_does_not_hold_are_refused(audio_set):
  class Loud(FakeText):
    def encode_text(self, texts):
      tokens, *others = super().encode_text(texts)
      return 1e5 * tokens, *others

  out = audio_set.parent / "c"
  with pytest.raises(UserError, match="'a dog'.*maximum, 65504"):
    encoding.prepare_codes(
      audio_set, FakeCodec(), Loud(), out, encoding.CodesConfig(seconds=2.0)
    )
  assert not out.exists()


def test_codes_never_take_the_place_of_their_sounds(audio_set):
  with pytest.raises(UserError, match="is the audio set itself"):
    encoding.prepare_codes(
      audio_set, FakeCodec(), FakeText(), audio_set / ".", overwrite=True
    )
  assert len(reader.open_source(audio_set, "train")) == 5
