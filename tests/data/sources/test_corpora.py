"""AudioCaps and Clotho in the layouts that people have on their disks."""

import numpy as np
import pytest

from siren_jax.audio import sound_files
from siren_jax.common.errors import UserError
from siren_jax.data.preparation import audio
from siren_jax.data.sets import reader
from siren_jax.data.sources import corpora, recordings
from siren_jax.data.sources.problems import Problems

AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption\n"
CLOTHO = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"


def sound(path):
  noise_S = np.random.default_rng(0).normal(0, 0.1, 8000).astype("f4")
  sound_files.write_audio(path, noise_S, 8000)


def _audiocaps(root, clip_name):
  """Two clips to train, one to validate, one to test, one vanished."""
  root.mkdir()
  rows = {
    "train": [("1", "-abc", 30, "A dog, barking"), ("2", "xyz_1", 0, "Rain")],
    "val": [("3", "val3", 7, "Bells"), ("4", "val3", 7, "A bell rings")],
    "test": [("5", "test5", 90, "Wind")],
  }
  for split, clips in rows.items():
    lines = [f'{i},{y},{start},"{c}"\n' for i, y, start, c in clips]
    if split == "train":
      lines.append("9,gone,10,A train\n")
    (root / f"{split}.csv").write_text(AUDIOCAPS + "".join(lines))
    for i, youtube_id, start, _ in clips:
      sound(root / "wavs" / split / f"{clip_name(i, youtube_id, start)}.wav")
  return root


@pytest.mark.parametrize(
  "clip_name",
  [
    lambda i, y, s: y,
    lambda i, y, s: f"Y{y}",
    lambda i, y, s: f"{y}_{s}",
    lambda i, y, s: f"{y}_{s}_{s + 10}",
    lambda i, y, s: f"Y{y}_{s * 1000}_{(s + 10) * 1000}",
  ],
)
def test_captions_of_one_audiocaps_clip_are_joined(tmp_path, clip_name):
  problems = Problems()
  root = _audiocaps(tmp_path / "audiocaps", clip_name)
  clips = {r.path.stem: r for r in recordings.find(root, problems)}
  dog = clips[clip_name("1", "-abc", 30)]
  assert (dog.captions, dog.split) == (("A dog, barking",), "train")
  bells = clips[clip_name("3", "val3", 7)]
  assert bells.captions == ("Bells", "A bell rings")
  assert bells.split == "validation"
  assert len(clips) == 3, "the test split is left out"
  assert len(problems.messages) == 1 and "no clip gone" in problems.messages[0]
  (test,) = recordings.find(root / "test.csv")
  assert test.captions == ("Wind",) and "test" in test.path.parts


def test_audiocaps_by_number_and_broken_rows(tmp_path):
  root = _audiocaps(tmp_path / "audiocaps", lambda i, y, s: i)
  with (root / "train.csv").open("a") as file:
    file.write("7,,3,no name\n8,a,soon,no time\n2,xyz_1,0,\n")
  problems = Problems()
  assert len(recordings.find(root, problems)) == 4
  messages = [m.split(": ")[1] for m in problems.messages]
  assert messages == [
    "no clip gone (AudioCaps)",
    "no name of a clip (AudioCaps)",
    "no name of a clip (AudioCaps)",
    "no caption (AudioCaps)",
  ]


def test_clotho_gives_five_captions_and_no_evaluation_split(tmp_path):
  for split in ("development", "validation", "evaluation"):
    (tmp_path / f"clotho_captions_{split}.csv").write_text(
      f'{CLOTHO}same name.wav,"{split}, one",two,three,four,five\n'
    )
    sound(tmp_path / split / "same name.wav")
  train, validation = recordings.find(tmp_path, Problems(strict=True))
  assert train.captions[:2] == ("development, one", "two")
  assert len(train.captions) == 5
  assert train.path == tmp_path / "development" / "same name.wav"
  assert (train.split, validation.split) == ("train", "validation")
  assert "validation" in validation.path.parts
  (test,) = recordings.find(tmp_path / "clotho_captions_evaluation.csv")
  assert test.captions[0] == "evaluation, one"


def test_prepared_with_a_list_of_what_is_missing(tmp_path):
  root = _audiocaps(tmp_path / "audiocaps", lambda i, y, s: y)
  out = tmp_path / "out"
  config = audio.AudioConfig(sample_rate=8000, seconds=1.0)
  summary = audio.prepare_audio([root], out, config)
  assert (summary["train"], summary["validation"]) == (2, 1)
  assert summary["skipped"] == 1
  assert "no clip gone" in (out / audio.SKIPPED).read_text()
  assert reader.captions(out, "validation") == ["Bells", "A bell rings"]


def test_a_test_split_is_never_trained_on(tmp_path):
  root = _audiocaps(tmp_path / "audiocaps", lambda i, y, s: y)
  (root / "test.csv").rename(root / "audiocaps-test_v2.csv")
  assert not any("test5" in r.id for r in recordings.find(root))
  (root / "audiocaps-test_v2.csv").rename(root / "more.csv")
  with pytest.raises(UserError, match=r"more\.csv: unknown split"):
    recordings.find(root)
  (root / "more.csv").rename(root / "eval.csv")
  for name in ("train.csv", "val.csv"):
    (root / name).unlink()
  with pytest.raises(UserError, match="a test split alone"):
    recordings.find(root)


def test_folders_above_the_corpus_say_nothing(tmp_path):
  root = tmp_path / "test"
  root.mkdir()
  (root / "train.csv").write_text(f"{AUDIOCAPS}1,same,0,rain\n")
  for split in ("test", "train"):
    sound(root / split / "same.wav")
  (recording,) = recordings.find(root)
  assert recording.path == root / "train" / "same.wav"


def test_an_unclosed_quote_is_reported(tmp_path):
  rows = "".join(f"{i},x{i},0,{'rain ' * 20}\n" for i in range(3000))
  table = tmp_path / "train.csv"
  table.write_text(f'{AUDIOCAPS}1,a,0,"rain\n{rows}')
  with pytest.raises(UserError, match=r"train\.csv:.*quote"):
    recordings.find(table)


def test_other_tables_are_no_corpus(tmp_path):
  (tmp_path / "folder.csv").mkdir()
  assert corpora.of(["file_name", "caption_1", "category"]) is None
  assert corpora.of([]) is None
  (tmp_path / "notes.csv").write_text("")
  sound(tmp_path / "rain.wav")
  (recording,) = recordings.find(tmp_path)
  assert recording.captions == ("rain",)
