import collections
import os
import re

import numpy as np
import pytest
import soundfile

from siren_jax.audio import loudness, sound_files
from siren_jax.common.errors import UserError
from siren_jax.data.captions import describe
from siren_jax.data.preparation import audio, records
from siren_jax.data.sets import reader, schema

RATE = 8000
SMALL = dict(sample_rate=RATE, seconds=1.0)


def sound(path, seconds=1.0, rate=RATE, seed=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  noise_S = 0.1 * np.random.default_rng(seed).standard_normal(
    round(seconds * rate)
  )
  soundfile.write(path, noise_S, rate)


@pytest.fixture
def clips(tmp_path):
  """Eight recordings of two categories in four folds, and a manifest."""
  rows = ["file,category,fold,source_title"]
  for i in range(8):
    category = ("dog bark", "rain")[i % 2]
    sound(tmp_path / "clips" / f"{i}.wav", seed=i)
    rows.append(f"{i}.wav,{category},{1 + i // 2},a {category}")
  (tmp_path / "clips" / "manifest.csv").write_text("\n".join(rows))
  return tmp_path / "clips"


def read(out, split):
  source = reader.open_source(out, split)
  return {source[i]["id"]: source[i] for i in range(len(source))}


def test_folds_mixtures_and_synthetic_sounds(clips, tmp_path):
  config = audio.AudioConfig(
    **SMALL, validation_fold="2", synthetic=3, mixtures=4, captions=5
  )
  summary = audio.prepare_audio([clips], tmp_path / "out", config)
  assert (summary["train"], summary["validation"]) == (6 + 3 + 4, 2)
  train, validation = (
    read(tmp_path / "out", s) for s in ("train", "validation")
  )
  assert set(validation) == {"clips/2.wav", "clips/3.wav"}
  kinds = [name.split("/")[0] for name in train]
  assert sorted(set(kinds)) == ["clips", "mixture", "synthetic"]
  assert kinds.count("mixture") == 4 and kinds.count("synthetic") == 3
  for name, element in train.items():
    assert 1 <= len(element["captions"]) <= 5
    assert element["sample_rate"] == RATE
    if name.startswith("mixture"):
      assert set(element["label"].split(" + ")) == {"dog bark", "rain"}
      used = re.findall(r"\d\.wav", element["source"])
      assert len(used) == 2 and not {"2.wav", "3.wav"} & set(used)


def test_same_seed_same_set(clips, tmp_path):
  config = audio.AudioConfig(**SMALL, synthetic=2, mixtures=2)
  for out in ("a", "b"):
    audio.prepare_audio([clips], tmp_path / out, config)
  a, b = read(tmp_path / "a", "train"), read(tmp_path / "b", "train")
  assert a.keys() == b.keys()
  for name in a:
    assert a[name]["captions"] == b[name]["captions"]
    np.testing.assert_array_equal(a[name]["audio"], b[name]["audio"])


def test_long_recordings_are_cut_short_ones_kept(tmp_path):
  folder = tmp_path / "clips"
  sound(folder / "long dog.wav", 3.5)
  sound(folder / "short cat.wav", 0.2, rate=16000)
  audio_S = np.zeros(3 * RATE)
  audio_S[:RATE] = 0.1
  soundfile.write(folder / "partly silent.wav", audio_S, RATE)
  summary = audio.prepare_audio(
    [folder], tmp_path / "out", audio.AudioConfig(**SMALL)
  )
  elements = read(tmp_path / "out", "train") | read(
    tmp_path / "out", "validation"
  )
  sizes = {name: e["audio"].size for name, e in elements.items()}
  assert sizes == {
    "clips/long dog.wav#0": RATE,
    "clips/long dog.wav#1": RATE,
    "clips/long dog.wav#2": RATE,
    "clips/long dog.wav#3": RATE,
    "clips/short cat.wav": RATE // 5,
    "clips/partly silent.wav#0": RATE,
  }
  assert elements["clips/short cat.wav"]["captions"] == ["short cat"]
  assert summary["notes"] == {"resampled 16000 -> 8000 Hz": 1}


def test_broken_files_are_skipped_or_fatal(clips, tmp_path):
  (clips / "1.wav").write_bytes(b"broken")
  soundfile.write(clips / "3.wav", np.zeros(RATE), RATE)
  summary = audio.prepare_audio(
    [clips], tmp_path / "out", audio.AudioConfig(**SMALL)
  )
  assert summary["skipped"] == 2 and summary["train"] == 4
  with pytest.raises(UserError, match=r"1\.wav.*strict"):
    audio.prepare_audio(
      [clips],
      tmp_path / "out",
      audio.AudioConfig(**SMALL, strict=True),
      overwrite=True,
    )
  assert len(read(tmp_path / "out", "train")) == 4  # the old set is still there
  assert sorted(os.listdir(tmp_path)) == ["clips", "out"]


def prepared(sources, out, **settings):
  """Ids of both splits, and the summary."""
  config = audio.AudioConfig(**SMALL | settings)
  summary = audio.prepare_audio(sources, out, config)
  return set(read(out, "train")), set(read(out, "validation")), summary


@pytest.mark.parametrize("broken", [b"", b"no sound", None])
def test_a_bad_file_in_validation_costs_nothing(broken, clips, tmp_path):
  manifest = clips / "manifest.csv"
  rows = manifest.read_text().splitlines()
  splits = ["split", *["train"] * 6, "validation", "validation"]
  manifest.write_text("\n".join(f"{r},{s}" for r, s in zip(rows, splits)))
  for name in ("6.wav", "7.wav"):
    if broken is None:
      soundfile.write(clips / name, np.zeros(RATE), RATE)
    else:
      (clips / name).write_bytes(broken)
  train, validation, summary = prepared([clips], tmp_path / "out")
  assert len(train) == 5 and len(validation) == 1 and not train & validation
  assert summary["skipped"] == 2
  assert train | validation == {f"clips/{i}.wav" for i in range(6)}
  assert prepared([clips], tmp_path / "again")[:2] == (train, validation)


def test_a_split_is_mended_from_the_other_one(clips, tmp_path):
  for i in range(6):  # all that is trained on
    (clips / f"{i}.wav").write_bytes(b"broken")
  train, validation, summary = prepared([clips], tmp_path / "out")
  assert len(train) == len(validation) == 1 and summary["skipped"] == 6
  (clips / "6.wav").write_bytes(b"broken")
  with pytest.raises(UserError, match=r"no usable sound for train: 7 skipped"):
    prepared([clips], tmp_path / "none")
  train, validation, _ = prepared([clips], tmp_path / "more", synthetic=2)
  assert validation == {"clips/7.wav"} and len(train) == 2
  (clips / "7.wav").write_bytes(b"broken")
  with pytest.raises(UserError, match="no usable sound for validation"):
    prepared([clips], tmp_path / "none", synthetic=2)
  assert not (tmp_path / "none").exists()


def test_one_usable_recording_validates_beside_synthetic_sounds(tmp_path):
  for name in ("a dog.wav", "a cat.wav", "a cow.wav"):
    sound(tmp_path / "clips" / name)
  names = {"clips/a dog.wav", "clips/a cat.wav", "clips/a cow.wav"}
  _, (first,), _ = prepared([tmp_path / "clips"], tmp_path / "all")
  (tmp_path / first).write_bytes(b"broken")
  train, validation, _ = prepared(
    [tmp_path / "clips"], tmp_path / "out", synthetic=2
  )
  assert len(validation) == 1 and len(train) == 1 + 2
  assert validation < names - {first}


def test_an_endless_file_costs_the_others_nothing(clips, tmp_path):
  with (clips / "1.wav").open("r+b") as file:
    file.truncate(3_000_000_000)
    for place, size in ((4, 3_000_000_000 - 8), (40, 3_000_000_000 - 44)):
      file.seek(place)
      file.write(size.to_bytes(4, "little"))
  train, validation, summary = prepared([clips], tmp_path / "out")
  assert len(train | validation) == 7 and summary["skipped"] == 1
  skipped = (tmp_path / "out" / audio.SKIPPED).read_text()
  assert "1.wav: 187500 s long, but the limit is 3600 s" in skipped


def test_what_does_not_fit_into_memory_is_a_problem(
  clips, tmp_path, monkeypatch
):
  def read_audio(path, *args, **kwargs):
    if path.name == "1.wav":
      raise MemoryError
    return sound_files.read_audio(path, *args, **kwargs)

  monkeypatch.setattr(records, "read_audio", read_audio)
  train, validation, summary = prepared([clips], tmp_path / "out")
  assert len(train | validation) == 7 and summary["skipped"] == 1


def test_a_file_that_fails_in_the_mixtures(clips, tmp_path, monkeypatch):
  times = collections.Counter()

  def read_audio(path, *args, **kwargs):
    times[path.name] += 1
    if path.name in ("0.wav", "2.wav") and times[path.name] > 2:
      raise UserError(f"{path}: gone")
    return sound_files.read_audio(path, *args, **kwargs)

  monkeypatch.setattr(records, "read_audio", read_audio)
  _, _, summary = prepared([clips], tmp_path / "out", mixtures=20)
  used = {
    name
    for name, element in read(tmp_path / "out", "train").items()
    if name.startswith("mixture")
    for name in re.findall(r"\d\.wav", element["source"])
  }
  assert summary["train"] == 6 + 20 and summary["skipped"] == 2
  assert used >= {"1.wav", "3.wav", "4.wav", "5.wav"}


def test_mixtures_end_where_no_two_categories_are_left(clips, tmp_path):
  for i in (0, 2, 4):  # all dogs that are trained on
    (clips / f"{i}.wav").write_bytes(b"broken")
  _, _, summary = prepared([clips], tmp_path / "out", mixtures=3)
  assert summary["train"] == 3 and summary["skipped"] == 4
  skipped = (tmp_path / "out" / audio.SKIPPED).read_text()
  assert (
    "mixture/000000 and later: the usable recordings cover fewer" in skipped
  )


def test_full_scale_is_not_clipped_by_resampling(tmp_path):
  square_S = np.sign(np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / 16000))
  for name in ("a tone.wav", "a beep.wav"):
    path = tmp_path / "clips" / name
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, square_S, 16000)
  prepared([tmp_path / "clips"], tmp_path / "out")
  for element in read(tmp_path / "out", "train").values():
    assert (np.abs(element["audio"]) == 32767).mean() < 0.01


def test_sources_of_the_same_name_do_not_collide(tmp_path):
  for parent in ("x", "y"):
    sound(tmp_path / parent / "clips" / "a dog.wav")
  audio.prepare_audio(
    [tmp_path / "x" / "clips", tmp_path / "y" / "clips"],
    tmp_path / "out",
    audio.AudioConfig(**SMALL),
  )
  elements = read(tmp_path / "out", "train") | read(
    tmp_path / "out", "validation"
  )
  assert set(elements) == {"clips/a dog.wav", "clips-1/a dog.wav"}


def test_a_recording_of_two_sources_is_taken_once(clips, tmp_path):
  manifest = clips / "manifest.csv"
  train, validation, summary = prepared([clips, manifest], tmp_path / "out")
  assert len(train) + len(validation) == summary["skipped"] == 8
  assert not train & validation


def test_a_set_can_be_of_synthetic_sounds_alone(tmp_path):
  config = audio.AudioConfig(**SMALL, synthetic=5)
  summary = audio.prepare_audio([], tmp_path / "out", config)
  assert (summary["train"], summary["validation"]) == (4, 1)
  with pytest.raises(UserError, match="synthetic=0"):
    audio.prepare_audio([], tmp_path / "none", audio.AudioConfig())
  assert not (tmp_path / "none").exists()


def test_mixtures_need_two_categories(tmp_path):
  for name in ("a", "b", "c"):
    sound(tmp_path / "clips" / f"{name} dog.wav")
  with pytest.raises(UserError, match="mixtures=2"):
    audio.prepare_audio(
      [tmp_path / "clips"],
      tmp_path / "out",
      audio.AudioConfig(**SMALL, mixtures=2),
    )


def test_a_set_is_replaced_only_with_overwrite(clips, tmp_path):
  config = audio.AudioConfig(**SMALL)
  audio.prepare_audio([clips], tmp_path / "out", config)
  with pytest.raises(UserError, match="out is a data set already.*--overwrite"):
    audio.prepare_audio([clips], tmp_path / "out", config)
  more = audio.AudioConfig(**SMALL, synthetic=3)
  audio.prepare_audio([clips], tmp_path / "out", more, overwrite=True)
  assert any("synthetic" in name for name in read(tmp_path / "out", "train"))
  assert {p.name for p in tmp_path.iterdir()} == {clips.name, "out"}


@pytest.fixture
def one_shots(tmp_path):
  """Bursts of 0.2 s: two gunshots, a cow, four of a label nobody knows."""
  rows = ["file,category,fold,title,author,license"]
  labels = ("gunshot", "gunshot", "cow_moo", *["zork"] * 4)
  for i, label in enumerate(labels):
    name = f"{i}.wav"
    sound(tmp_path / "shots" / name, 0.2, seed=i)
    rows.append(f"{name},{label},{1 + i % 2},a {label} {i},Ann,CC0")
  sound(tmp_path / "shots" / "held.wav", 0.2, seed=9)
  rows.append("held.wav,gunshot,3,a held one,Bob,MIT")
  (tmp_path / "shots" / "manifest.csv").write_text("\n".join(rows))
  return tmp_path / "shots"


def test_kinds_that_are_rare_are_taken_more_often(one_shots, tmp_path):
  train, validation, _ = prepared([one_shots], tmp_path / "out", balance=4)
  labels = collections.Counter(
    element["label"] for element in read(tmp_path / "out", "train").values()
  )
  assert labels == {"gunshot": 4, "cow moo": 4, "zork": 4}
  assert {"shots/0.wav", "shots/0.wav@1", "shots/2.wav@3"} <= train
  assert validation == {"shots/held.wav"}


def test_no_recording_is_taken_more_than_twenty_times(one_shots, tmp_path):
  train, _, _ = prepared([one_shots], tmp_path / "out", balance=1000)
  times = collections.Counter(name.split("@")[0] for name in train)
  assert set(times.values()) == {20}


def test_layouts_are_as_their_captions_say(one_shots, tmp_path):
  settings = dict(balance=40, layouts=True, seconds=3.0, captions=12)
  prepared([one_shots], tmp_path / "out", **settings)
  words = {"twice": 2, "three times": 3, "four times": 4, "five times": 5}
  counts = set()
  for element in read(tmp_path / "out", "train").values():
    audio_S = np.pad(schema.to_float(element["audio"]), (0, 3 * RATE))
    count = describe.facts(audio_S, RATE).count()
    text = " | ".join(element["captions"])
    said = [number for word, number in words.items() if word in text]
    assert set(said) <= {count}
    assert bool(re.search(r"a single|just one|once", text)) <= (count == 1)
    if element["label"] == "zork":  # nobody knows whether it is a one-shot
      assert count == 1
    counts.add(count)
  assert counts >= {1, 2, 3, 4, 5}
  held = read(tmp_path / "out", "validation")["shots/held.wav"]
  assert held["audio"].size == RATE // 5


def test_steady_sounds_are_looped(tmp_path):
  for name, seconds in (("a.wav", 1.5), ("b.wav", 1.5), ("c.wav", 0.2)):
    sound(tmp_path / "rain" / name, seconds)
  rows = ["file,category,fold", "a.wav,rain,1", "b.wav,rain,2", "c.wav,rain,1"]
  (tmp_path / "rain" / "manifest.csv").write_text("\n".join(rows))
  prepared([tmp_path / "rain"], tmp_path / "out", layouts=True, seconds=3.0)
  train = read(tmp_path / "out", "train")
  assert train["rain/a.wav"]["audio"].size == 3 * RATE
  assert train["rain/c.wav"]["audio"].size == RATE // 5
  (held,) = read(tmp_path / "out", "validation").values()
  assert held["audio"].size == 1.5 * RATE


def test_sequences_keep_their_order_and_fit(one_shots, tmp_path):
  settings = dict(sequences=12, seconds=2.0)
  _, _, summary = prepared([one_shots], tmp_path / "out", **settings)
  assert summary["train"] == 7 + 12
  sizes = set()
  for name, element in read(tmp_path / "out", "train").items():
    if not name.startswith("sequence"):
      continue
    kinds = element["label"].split(" > ")
    sizes.add(len(kinds))
    assert len(set(kinds)) == len(kinds)
    assert element["audio"].size <= 2 * RATE
    count = describe.facts(schema.to_float(element["audio"]), RATE).count()
    assert count in (0, len(kinds))  # 0: they run into each other
    place = kinds.index("zork") if "zork" in kinds else None
    for text in element["captions"]:
      if place == 0:
        assert text.index("zork") < 10 or "after" in text
      elif place == len(kinds) - 1:
        assert text.index("zork") > 10 or "after" in text
  assert sizes == {2, 3}


def test_all_sounds_are_brought_to_one_loudness(clips, tmp_path):
  quiet_S, rate = soundfile.read(clips / "0.wav")
  soundfile.write(clips / "0.wav", 0.01 * quiet_S, rate)
  counts = dict(mixtures=3, sequences=3, synthetic=2)
  settings = counts | dict(loudness=-23.0, seconds=2.0)
  prepared([clips], tmp_path / "out", **settings)
  for element in read(tmp_path / "out", "train").values():
    audio_S = schema.to_float(element["audio"])
    assert loudness.integrated(audio_S, RATE) == pytest.approx(-23, abs=1.5)
    text = " ".join(element["captions"])
    if element["label"] in ("rain", "dog bark"):
      assert "distan" not in text and "close up" not in text


def test_who_made_a_sound_is_kept(one_shots, tmp_path):
  prepared([one_shots], tmp_path / "out", mixtures=1)
  (held,) = read(tmp_path / "out", "validation").values()
  names = ("title", "author", "license")
  assert [held[n] for n in names] == ["a held one", "Bob", "MIT"]
  mixture = read(tmp_path / "out", "train")["mixture/000000"]
  assert (mixture["author"], mixture["license"]) == ("Ann + Ann", "CC0 + CC0")
