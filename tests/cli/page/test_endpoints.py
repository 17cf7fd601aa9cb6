"""What the page makes is what `siren-jax generate` makes."""

import base64
import pathlib
import shutil

import numpy as np
import pytest
import soundfile

import siren_jax
from siren_jax.cli.main import main
from siren_jax.cli.page import limits
from siren_jax.cli.page.endpoints import Endpoints
from siren_jax.cli.page.gate import Gate
from siren_jax.cli.page.making import Studio
from siren_jax.common.errors import UserError
from siren_jax.storage import folders

RATE = 16000
REQUEST = ("rain", 0.3, 3, 2, 0.9, 9, 1.5)


@pytest.fixture(scope="module")
def studio(tiny_bundle):
  siren = siren_jax.load(tiny_bundle)
  fingerprint = folders.model_fingerprint(folders.find(str(tiny_bundle)))
  batch_size = siren_jax.api.BATCH_SIZE
  return Studio(siren, str(tiny_bundle), fingerprint, None, batch_size)


@pytest.fixture
def page(studio, tmp_path, monkeypatch):
  """Endpoints whose uploads are in uploads/ of the folder that is current."""
  monkeypatch.chdir(tmp_path)
  (tmp_path / "uploads").mkdir()
  return Endpoints(studio, tmp_path / "uploads", Gate())


@pytest.fixture
def clip(page):
  """clip.wav, uploaded."""
  clip_S = np.random.default_rng(0).normal(0, 0.05, RATE // 2)
  soundfile.write("clip.wav", clip_S, RATE)
  path = shutil.copy("clip.wav", page.folder / "a1b2.wav")
  return {"path": str(path), "orig_name": "clip.wav"}


def last(values):
  """Sounds of the last value."""
  return list(values)[-1]["sounds"]


def test_sounds_and_facts_are_those_of_generate(page, tmp_path):
  sounds = last(page.generate(*REQUEST))
  assert (
    main([
      "generate", "rain", "--seconds", "0.3", "--seed", "3", "--num-samples",
      "2", "--candidates", "1", "--temperature", "0.9", "--top-k", "9",
      "--guidance", "1.5", "--model", page.studio.model,
    ]) == 0
  )  # fmt: skip
  assert len(sounds) == 2
  for sound in sounds:
    for kind in ("audio", "json"):
      path = pathlib.Path(sound[kind]["path"])
      assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    assert sound["facts"] == pathlib.Path(sound["json"]["path"]).read_text()


@pytest.mark.parametrize(
  ("name", "more", "words"),
  [
    ("generate", None, "rain"),
    *(
      pytest.param(name, more, words, marks=pytest.mark.long)
      for name, more in (
        ("continue_", ()),
        ("fill", (0.1, 0.3)),
        ("vary", (2,)),
      )
      for words in ("rain", "")
    ),
  ],
)
def test_the_json_makes_the_sound_again(
  name, more, words, page, clip, tmp_path
):
  request = (words, *REQUEST[1:])
  if more is not None:
    request = (clip, *more, *request)
  sound = last(getattr(page, name)(*request))[1]
  made = pathlib.Path(sound["audio"]["path"])
  facts = tmp_path / "facts.json"
  facts.write_text(sound["facts"])
  assert main(["generate", "--again", str(facts), "--out", "again.wav"]) == 0
  assert pathlib.Path("again.wav").read_bytes() == made.read_bytes()
  again = pathlib.Path("again.json").read_bytes()
  assert again == made.with_suffix(".json").read_bytes()
  assert "a1b2" not in again.decode()


def test_the_first_sound_is_streamed_while_it_is_drawn(page):
  values = list(page.generate("rain", 1.5, 0, 1, 1.0, None, None))
  streamed = [value for value in values if not value["sounds"]]
  assert len(streamed) > 3
  counts = [len(value["chunks"]) for value in streamed]
  assert counts == sorted(counts)
  chunks = b"".join(map(base64.b64decode, streamed[-1]["chunks"]))
  streamed_S = np.frombuffer(chunks, "<i2").astype(float)
  final_S, _ = soundfile.read(values[-1]["sounds"][0]["audio"]["path"])
  assert len(streamed_S) == len(final_S) == 1.5 * RATE
  middle = slice(RATE // 2, RATE)  # one gain and no fades
  assert np.corrcoef(streamed_S[middle], final_S[middle])[0, 1] > 0.99
  assert values[-1]["chunks"] == []
  (begun,) = {value["stream"] for value in values}
  (later,) = {
    value["stream"]
    for value in page.generate("rain", 0.5, 0, 1, 1.0, None, None)
  }
  assert 0 < begun < later


def test_the_sound_nearest_to_the_words_is_pointed_out(page):
  siren = page.studio.siren
  sounds = last(page.generate(*REQUEST[:3], 4, *REQUEST[4:]))
  raw = siren.clips(
    "rain", 0.3, key=3, num_samples=4, candidates=1, loudness=None,
    temperature=0.9, top_k=9, guidance=1.5,
  )  # fmt: skip
  scores = [siren.clap_score(audio_S, "rain") for audio_S in raw]
  assert [sound["score"] for sound in sounds] == scores
  best = int(np.argmax(scores))
  assert [s["best"] for s in sounds] == [i == best for i in range(4)]


def test_the_score_is_that_by_which_candidates_are_chosen(page):
  siren = page.studio.siren
  options = {"key": 1, "candidates": 2, "loudness": None}
  (sound,) = siren.sounds("rain", 1.0, **options)
  score = siren.clap_score(sound.audio_S, "rain")
  assert score == pytest.approx(sound.clap_score, abs=1e-5)
  with pytest.raises(UserError, match="prompt 1 is empty"):
    siren.clap_score(sound.audio_S, " ")


def test_the_preview_is_the_recording_as_the_model_reads_it(page, clip):
  stereo_SxI = np.random.default_rng(0).normal(0, 0.05, (8000, 2))
  soundfile.write(clip["path"], stereo_SxI, 8000)
  value = page.preview(clip)
  assert value["status"] == "2 channels mixed down; resampled 8000 -> 16000 Hz"
  (sound,) = value["sounds"]
  assert sound["title"] == "clip.wav" and sound["seconds"] == 1
  assert soundfile.info(sound["audio"]["path"]).frames == RATE
  assert page.preview(None)["sounds"] == []


@pytest.mark.parametrize(
  ("name", "more", "message"),
  [
    ("continue_", (), r"^clip.wav: 7200 s long, but the limit is 30 s"),
    ("preview", None, r"^clip.wav: 7200 s long, but the limit is 30 s"),
  ],
)
def test_a_long_recording_is_refused_before_it_takes_memory(
  name, more, message, page, clip
):
  with soundfile.SoundFile(clip["path"], "w", 8000, 1, format="FLAC") as file:
    file.write(np.zeros(8000 * 7200, np.int16))  # two hours, 30 kB
  request = [clip] if more is None else [clip, *more, *REQUEST]
  with pytest.raises(UserError, match=message) as error:
    getattr(page, name)(*request)
  assert str(page.folder) not in str(error.value)


@pytest.mark.parametrize(
  ("name", "request_", "message"),
  [
    ("generate", ("", *REQUEST[1:]), "prompt 1 is empty"),
    ("generate", ("rain", 31, *REQUEST[2:]), "seconds 31"),
    ("continue_", (None, *REQUEST), "no recording"),
    ("continue_", ({"path": "/etc/passwd"}, *REQUEST), "not an upload"),
    ("fill", (None, 0, 1, *REQUEST), "no recording"),
    ("fill", (None, "0", 1, *REQUEST), "start '0': give a number"),
    ("vary", (None, 99, *REQUEST), "keep 99: give a whole number from 0 to 3"),
    ("preview", ({"path": "/etc/passwd"},), "not an upload"),
  ],
)
def test_invalid_requests_are_refused(name, request_, message, page):
  with pytest.raises(UserError, match=message):
    list(getattr(page, name)(*request_))


def test_a_hole_beyond_the_recording_is_refused(page, clip):
  with pytest.raises(UserError, match=r"part from 0.1 to 0.9 s.*0.500 s"):
    list(page.fill(clip, 0.1, 0.9, *REQUEST))


def test_limits_are_those_that_the_documentation_has():
  page = pathlib.Path(__file__).parents[3] / "docs" / "demo.md"
  text = page.read_text("utf-8")
  for limit in (
    f"{limits.SECONDS:g} s",
    f"{limits.LETTERS} characters",
    f"{limits.SOUNDS} candidates",
    f"{limits.UPLOAD_BYTES >> 20} MiB",
    f"{limits.WAITING} queued",
  ):
    assert limit in text, limit
