"""A prepared set is shown: how much of what, and what it is called."""

import numpy as np

from siren_jax.audio import sound_files
from siren_jax.data.preparation import audio
from siren_jax.data.sets import contents

RATE = 8000


def test_splits_and_labels_are_counted_with_examples(tmp_path):
  rng = np.random.default_rng(0)
  for i in range(23):
    path = tmp_path / "clips" / ("rain" if i % 2 else "dog bark") / f"{i}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    sound_files.write_audio(path, rng.normal(0, 0.1, RATE).astype("f4"), RATE)
  path.with_suffix(".txt").write_text("a caf\u00e9 in the rain\nrain\n")
  out = tmp_path / "out"
  config = audio.AudioConfig(sample_rate=RATE, seconds=1.0)
  summary = audio.prepare_audio([tmp_path / "clips"], out, config)
  *splits, labels = contents.counts(out)
  assert splits == [
    f"{name}: {summary[name]} records, {summary[name]:.1f} s of sound"
    for name in ("train", "validation")
  ]
  assert labels == "labels: dog bark 12, rain 11"
  lines = contents.examples(out)
  assert len(set(lines)) == len(lines) == contents.EXAMPLES
  for line in lines:
    name, _, caption = line.partition(": ")
    assert name.startswith("clips/") and name.endswith(".wav") and caption
