"""Clips are heard once, and again when they change."""

import json

import numpy as np
import pytest

from siren_jax.common.errors import UserError
from siren_jax.data import audio
from siren_jax.evaluation import clips
from siren_jax.evaluation.scorers import Scorer

RATE = 16000


class Ear:
  """A scorer that counts what it hears."""

  def __init__(self, fingerprint="ear"):
    self.calls = 0
    self.scorer = Scorer("ear", RATE, self.hear, fingerprint, shortest=0.1)

  def hear(self, audio_BxS):
    self.calls += 1
    assert len(audio_BxS) == clips.BATCH
    return {"clip": np.abs(audio_BxS).mean(1, keepdims=True)}


@pytest.fixture
def folder(tmp_path):
  rng = np.random.default_rng(0)
  for i in range(clips.BATCH + 3):
    seconds = 0.5 if i % 5 else 0.3
    noise = rng.normal(0, 0.01 * (i + 1), round(seconds * RATE))
    name = tmp_path / "sounds" / ("deep" if i % 2 else "") / f"{i:02}.wav"
    name.parent.mkdir(parents=True, exist_ok=True)
    audio.write_wav(name, noise.astype("f4"), RATE)
  return tmp_path / "sounds"


def test_every_clip_gets_its_own(folder):
  found = clips.find(folder)
  assert [c.name for c in found] == sorted(c.name for c in found)
  heard = clips.hear(found, Ear().scorer)
  for clip, what in zip(found, heard, strict=True):
    alone = np.abs(audio.read_audio(clip.path, RATE)[0]).mean()
    np.testing.assert_allclose(what["clip"], [alone], rtol=1e-5)


def test_cache_is_used_and_never_stale(folder, tmp_path):
  ear, cache = Ear(), tmp_path / "cache"
  first = clips.hear(clips.find(folder), ear.scorer, cache)
  calls = ear.calls
  done = []
  again = clips.hear(clips.find(folder), ear.scorer, cache, done.append)
  assert ear.calls == calls and done == [len(first)]
  np.testing.assert_equal(again, first)
  loud_S = (0.5 * (-1) ** np.arange(8000)).astype("f4")
  audio.write_wav(folder / "00.wav", loud_S, RATE)
  changed = clips.hear(clips.find(folder), ear.scorer, cache)
  assert ear.calls == calls + 1
  by_name = [c.name for c in clips.find(folder)].index("00")
  np.testing.assert_allclose(changed[by_name]["clip"], [0.5], rtol=1e-3)
  other = Ear("other weights")
  clips.hear(clips.find(folder), other.scorer, cache)
  assert other.calls > 0


def test_a_broken_cache_file_is_heard_again(folder, tmp_path):
  ear, cache = Ear(), tmp_path / "cache"
  first = clips.hear(clips.find(folder), ear.scorer, cache)
  for path in (cache / "ear").glob("*.npz"):
    path.write_bytes(path.read_bytes()[:40])
  np.testing.assert_equal(
    clips.hear(clips.find(folder), ear.scorer, cache), first
  )


def test_captions_are_beside_the_clips(folder):
  (folder / "00.json").write_text(json.dumps({"prompt": "rain"}))
  (folder / "02.json").write_text("{")
  captions = {c.name: c.caption for c in clips.find(folder)}
  assert captions["00"] == "rain"
  assert captions["02"] is None and captions["04"] is None


def test_what_cannot_be_heard_is_named(folder, tmp_path):
  with pytest.raises(UserError, match="no sound files"):
    clips.find(tmp_path / "nothing")
  short_S = np.linspace(-0.5, 0.5, 100, dtype="f4")
  audio.write_wav(folder / "zz.wav", short_S, RATE)
  with pytest.raises(UserError, match="zz.wav.*at least"):
    clips.hear(clips.find(folder), Ear().scorer)


def test_two_clips_of_one_name_are_refused(folder):
  (folder / "02.flac").write_bytes(b"x")
  with pytest.raises(UserError, match=r"02\.flac and .*02\.wav have one name"):
    clips.find(folder)


def test_what_is_left_out_of_a_folder_is_said(folder, caplog):
  for name in ("._00.wav", "new.m4a"):
    (folder / name).write_bytes(b"x")
  (folder / "deep" / "loop").symlink_to("..")
  names = [c.name for c in clips.find(folder)]
  assert "._00" not in names and len(set(names)) == len(names)
  assert "1 .m4a file left out" in caplog.text and "loop" in caplog.text
