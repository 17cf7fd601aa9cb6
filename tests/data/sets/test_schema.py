import dataclasses

import numpy as np
import pytest

from siren_jax.common.errors import UserError
from siren_jax.data.sets import schema

GOOD = dict(
  id="a",
  audio_S=np.array([0, 5, -5], np.int16),
  sample_rate=8000,
  captions=("a dog",),
)


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("id", "", "without an id"),
    ("audio_S", np.zeros(3, np.float32), "float32"),
    ("audio_S", np.ones((2, 3), np.int16), "2 axes"),
    ("audio_S", np.zeros(0, np.int16), "0 samples"),
    ("audio_S", np.zeros(3, np.int16), "silent"),
    ("sample_rate", 0, "sample rate 0"),
    ("captions", (), "at least one"),
    ("captions", ("a dog", "  "), "blank"),
  ],
)
def test_bad_fields_are_named(field, value, message):
  with pytest.raises(UserError, match=message) as caught:
    schema.Record(**GOOD | {field: value})
  assert "\n" not in str(caught.value)


def test_an_example_holds_all_of_its_record():
  record = schema.Record(
    **GOOD,
    label="dog bark",
    source="x.wav",
    title="Rex",
    author="Ann",
    license="CC0",
  )
  example = schema.to_example(record)
  np.testing.assert_array_equal(example.pop("audio"), record.audio_S)
  assert example.pop("captions") == list(record.captions)
  assert example == {
    field.name: getattr(record, field.name)
    for field in dataclasses.fields(record)
    if field.name not in ("audio_S", "captions")
  }
  assert record.seconds == 3 / 8000


def test_int16_clips_and_inverts():
  audio_S = np.array([-2.0, -1.0, 0.0, 0.3, 1.0, 2.0], np.float32)
  pcm_S = schema.to_int16(audio_S)
  assert pcm_S.tolist()[0] == pcm_S.tolist()[1] == -32767
  np.testing.assert_allclose(
    schema.to_float(pcm_S), np.clip(audio_S, -1, 1), atol=0.5 / 32767 + 1e-8
  )
