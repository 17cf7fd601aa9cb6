"""Features of clips are computed once, and again when they change."""

import json
import shutil
import unicodedata

import numpy as np
import pytest
import soundfile

from siren_jax.audio import sound_files
from siren_jax.common.errors import UserError
from siren_jax.evaluation import clips
from siren_jax.evaluation.scorers import BatchConfig, Scorer

RATE = 16000


class CountingScorer:
  """A scorer that counts what it hears."""

  def __init__(self, fingerprint="ear"):
    self.calls = 0
    self.scorer = Scorer("ear", RATE, self.extract, fingerprint, shortest=0.1)

  def extract(self, audio_BxS):
    self.calls += 1
    assert len(audio_BxS) == clips.BATCH
    return {"clip": np.abs(audio_BxS).mean(1, keepdims=True)}


def _buzz(size, level=0.5):
  """A wave [size] of one absolute value."""
  return (level * (-1) ** np.arange(size)).astype("f4")


@pytest.fixture
def folder(tmp_path):
  rng = np.random.default_rng(0)
  for i in range(clips.BATCH + 3):
    seconds = 0.5 if i % 5 else 0.3
    noise = rng.normal(0, 0.01 * (i + 1), round(seconds * RATE))
    name = tmp_path / "sounds" / ("deep" if i % 2 else "") / f"{i:02}.wav"
    name.parent.mkdir(parents=True, exist_ok=True)
    sound_files.write_audio(name, noise.astype("f4"), RATE)
  return tmp_path / "sounds"


def test_every_clip_gets_its_own(folder):
  listed = clips.find(folder)
  assert [c.name for c in listed] == sorted(c.name for c in listed)
  features = clips.extract(listed, CountingScorer().scorer)
  for clip, what in zip(listed, features, strict=True):
    alone = np.abs(sound_files.read_audio(clip.path, RATE)[0]).mean()
    np.testing.assert_allclose(what["clip"], [alone], rtol=1e-5)


def test_batches_have_the_requested_size(folder):
  sizes = set()

  def extract(audio_BxS):
    sizes.add(audio_BxS.shape)
    return {"clip": audio_BxS.max(1)}

  scorer = Scorer("ear", RATE, extract, "ear", shortest=0.1)
  features = [
    clips.extract(clips.find(folder), scorer, batch=batch)
    for batch in (BatchConfig(), BatchConfig(clips=5, seconds=2.0))
  ]
  assert features[0] == features[1]
  long, short = round(0.5 * RATE), round(0.3 * RATE)
  assert sizes == {(16, long), (16, short), (4, long), (5, short)}
  assert BatchConfig(seconds=1.0).rows(2 * RATE, RATE) == 1
  for setting in ({"clips": 0}, {"seconds": 0.0}, {"texts": -1}):
    with pytest.raises(UserError, match=next(iter(setting))):
      BatchConfig(**setting)


def test_the_cache_is_used_and_never_stale(folder, tmp_path):
  counting, cache = CountingScorer(), tmp_path / "cache"
  first = clips.extract(clips.find(folder), counting.scorer, cache)
  calls = counting.calls
  done = []
  again = clips.extract(clips.find(folder), counting.scorer, cache, done.append)
  assert counting.calls == calls and done == [len(first)]
  np.testing.assert_equal(again, first)
  loud_S = (0.5 * (-1) ** np.arange(8000)).astype("f4")
  sound_files.write_audio(folder / "00.wav", loud_S, RATE)
  changed = clips.extract(clips.find(folder), counting.scorer, cache)
  assert counting.calls == calls + 1
  by_name = [c.name for c in clips.find(folder)].index("00")
  np.testing.assert_allclose(changed[by_name]["clip"], [0.5], rtol=1e-3)
  other = CountingScorer("other weights")
  clips.extract(clips.find(folder), other.scorer, cache)
  assert other.calls > 0


def test_a_broken_cache_file_is_recomputed(folder, tmp_path):
  counting, cache = CountingScorer(), tmp_path / "cache"
  first = clips.extract(clips.find(folder), counting.scorer, cache)
  for path in (cache / "ear").glob("*.npz"):
    path.write_bytes(path.read_bytes()[:40])
  np.testing.assert_equal(
    clips.extract(clips.find(folder), counting.scorer, cache), first
  )


def test_captions_are_beside_the_clips(folder):
  text = json.dumps({"prompt": "pluie légère"}, ensure_ascii=False)
  for name, encoding in (
    ("00", "utf-8"),
    ("02", "utf-8-sig"),
    ("04", "utf-16"),
  ):
    (folder / f"{name}.json").write_text(text, encoding=encoding)
  listed = clips.find(folder)
  texts, problems = clips.captions(listed)
  assert texts[:4] == ["pluie légère"] * 3 + [None] and not problems


def test_no_json_can_be_beside_the_longest_name(folder):
  path = (folder / "00.wav").rename(folder / f"{'x' * 251}.wav")
  clip = clips.Clip(path, "x", "")
  assert clips.captions([clip]) == ([None], [])


@pytest.mark.parametrize(
  ("content", "reason"),
  [
    (b"{", "not JSON"),
    (b"", "not JSON"),
    (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
    ('{"prompt": "légère"}'.encode("cp1252"), "Windows-1252"),
    (b'{"prompt": 3}', "not a string"),
    (b'{"prompt": "rain", "prompt": "wind"}', "duplicate key"),
    (b'{"prompt": "rain", "seconds": NaN}', "finite"),
    (b'{"prompt": "  "}', "not a string"),
    (b'{"text": "rain"}', "not a string"),
    (b'["rain"]', "not a string"),
    (b"[" * 100_000, "not JSON"),
  ],
)  # fmt: skip
def test_json_without_a_caption_is_named(folder, content, reason):
  (folder / "02.json").write_bytes(content)
  texts, problems = clips.captions(clips.find(folder))
  assert set(texts) == {None}
  assert len(problems) == 1
  assert "02.json" in problems[0] and reason in problems[0]


def test_a_table_wins_over_json(folder, tmp_path):
  (tmp_path / "clips.csv").write_text("path,caption\nsounds/00.wav,thunder\n")
  (folder / "00.json").write_text(json.dumps({"prompt": "rain"}))
  assert clips.captions(clips.find(tmp_path / "clips.csv")) == (["thunder"], [])


@pytest.mark.parametrize("name", ["clips.tsv", "clips.TSV", "clips.jsonl"])
def test_every_kind_of_table_names_clips(folder, tmp_path, name):
  rows = "path\tcaption\nsounds/00.wav\tthunder\n"
  if name.endswith("jsonl"):
    rows = json.dumps({"path": "sounds/00.wav", "caption": "thunder"})
  (tmp_path / name).write_text(rows)
  [clip] = clips.find(tmp_path / name)
  assert clip.name == "00" and clip.caption == "thunder"


def test_unusable_clips_are_named(folder, tmp_path):
  with pytest.raises(UserError, match="no sound files"):
    clips.find(tmp_path / "nothing")
  short_S = np.linspace(-0.5, 0.5, 100, dtype="f4")
  sound_files.write_audio(folder / "zz.wav", short_S, RATE)
  with pytest.raises(UserError, match="zz.wav.*at least"):
    clips.extract(clips.find(folder), CountingScorer().scorer)


def test_two_of_one_name_are_refused(folder):
  shutil.copy(folder / "00.wav", folder / "00.flac")
  with pytest.raises(
    UserError, match=r"00\.flac and .*00\.wav have the same name"
  ):
    clips.find(folder)
  (folder / "00.flac").unlink()
  for form in ("NFC", "NFD"):  # Two names where files are, one for people.
    name = unicodedata.normalize(form, "é.wav")
    shutil.copy(folder / "00.wav", folder / name)
  with pytest.raises(UserError, match="have the same name"):
    clips.find(folder)


def test_skipped_files_of_a_folder_are_reported(folder, caplog):
  for name in ("._00.wav", "new.m4a"):
    (folder / name).write_bytes(b"x")
  (folder / "deep" / "loop").symlink_to("..")
  names = [c.name for c in clips.find(folder)]
  assert "._00" not in names and len(set(names)) == len(names)
  assert "1 .m4a file left out" in caplog.text and "loop" in caplog.text


def test_a_folder_within_is_left_out_and_links_are_not(folder, tmp_path):
  names = {c.name for c in clips.find(folder, apart=folder / "deep")}
  assert names and not any("deep" in name for name in names)
  links = tmp_path / "links"
  links.mkdir()
  (links / "a.wav").symlink_to(folder / "00.wav")
  assert [c.name for c in clips.find(links, apart=folder)] == ["a"]


def test_unusable_clips_are_logged(folder):
  """Broken, silent, too short, too long: the others are used."""
  (folder / "02.wav").write_bytes(b"RIFF")
  sound_files.write_audio(folder / "04.wav", np.zeros(8000, "f4"), RATE)
  sound_files.write_audio(folder / "06.wav", _buzz(100), RATE)
  long = _buzz(int(RATE * (clips.LONGEST + 1)))
  sound_files.write_audio(folder / "08.wav", long, RATE)
  log, done = clips.Log(), []
  listed = clips.find(folder)
  features = clips.extract(
    listed, CountingScorer().scorer, None, done.append, log
  )
  assert sum(done) == len(listed)
  bad = [
    c.path.name for c, h in zip(listed, features, strict=True) if h is None
  ]
  assert bad == ["02.wav", "04.wav", "06.wav", "08.wav"]
  assert len(log.messages) == 4
  for name, reason in zip(bad, ("audio", "silent", "at least", "limit")):
    assert any(name in m and reason in m for m in log.messages)
  clips.extract(listed, CountingScorer("another").scorer, None, log=log)
  assert len(log.messages) == 4, "each is named once"


def test_nothing_but_numbers_is_kept(folder, tmp_path):
  def extract(audio_BxS):
    peak = np.abs(audio_BxS).max(1, keepdims=True)
    return {"clip": np.where(peak > 0.06, peak, np.nan)}

  scorer = Scorer("deaf", RATE, extract, "deaf", shortest=0.1)
  shutil.copy(folder / "00.wav", folder / "03.wav")  # Each is named.
  listed = clips.find(folder)[:4]
  with pytest.raises(UserError, match="NaN or infinity from deaf"):
    clips.extract(listed, scorer, tmp_path / "cache")
  log = clips.Log()
  features = clips.extract(listed, scorer, tmp_path / "cache", log=log)
  assert features.count(None) == len(log.messages) == 2
  again = clips.extract(listed, scorer, tmp_path / "cache", log=clips.Log())
  assert again.count(None) == 2


def test_notes_are_the_same_from_the_cache(folder, tmp_path):
  stereo = np.random.default_rng(0).normal(0, 0.1, (8000, 2))
  soundfile.write(folder / "00.wav", stereo, 8000)
  counts = []
  for counting in (CountingScorer(), CountingScorer()):
    log = clips.Log()
    clips.extract(
      clips.find(folder), counting.scorer, tmp_path / "cache", log=log
    )
    counts.append(log.note_counts())
  assert counting.calls == 0
  assert counts[0] == counts[1]
  assert counts[0]["resampled 8000 -> 16000 Hz"] == 1
  assert counts[0]["2 channels mixed down"] == 1


def test_long_clips_come_in_smaller_batches(folder):
  sizes = []

  def extract(audio_BxS):
    sizes.append(audio_BxS.shape)
    return {"clip": audio_BxS[:, :1]}

  long = _buzz(60 * RATE)
  sound_files.write_audio(folder / "00.wav", long, RATE)
  scorer = Scorer("ear", RATE, extract, "ear", shortest=0.1)
  clips.extract(clips.find(folder)[:1], scorer)
  assert sizes == [(4, 60 * RATE)]


def test_pairs_of_unlike_length_are_noted(folder, tmp_path):
  other = tmp_path / "other"
  shutil.copytree(folder, other)
  time = np.arange(2 * RATE) / RATE
  sound_files.write_audio(
    other / "00.wav", np.sin(900 * time).astype("f4"), RATE
  )
  (other / "02.wav").write_bytes(b"RIFF")
  log = clips.Log()
  both = clips.find(folder)[:4], clips.find(other)
  distances = clips.distances(*both, log)
  assert len(distances["mel"]) == len(both[0]) - 1
  assert log.note_counts() == {"compared over the shorter clip's length": 1}
  assert len(log.messages) == 1 and "02.wav" in log.messages[0]


def test_clips_of_a_table_with_tabs(tmp_path):
  (tmp_path / "a.wav").touch()
  table = tmp_path / "test.tsv"
  table.write_text("path\tcaption\na.wav\train, then wind\n")
  (clip,) = clips.find(table)
  assert (clip.name, clip.caption) == ("a", "rain, then wind")
