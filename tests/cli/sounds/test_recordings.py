"""`siren-jax generate --continue`, `--fill` and `--vary`."""

import json
import shlex

import numpy as np
import pytest
import soundfile

import siren_jax
from siren_jax.audio import loudness
from siren_jax.cli.main import main
from siren_jax.storage import fingerprint

RATE = 16000
FADE = RATE // 100
LINES = {
  "continued": ["--continue", "clip.wav"],
  "filled": ["--fill", "0.4:0.6", "clip.wav"],
  "varied": ["--vary", "clip.wav", "--keep", "2"],
}


def noise(seconds, channels=1, rate=RATE):
  rng = np.random.default_rng(0)
  return rng.normal(0, 0.05, (round(seconds * rate), channels))


@pytest.fixture
def clip(tmp_path):
  path = tmp_path / "clip.wav"
  soundfile.write(path, noise(1), RATE)
  return path


@pytest.mark.long
@pytest.mark.parametrize("done", LINES)
def test_a_sound_of_a_recording_can_be_made_again(
  done, generate, clip, tmp_path, capsys
):
  before = clip.read_bytes()
  assert generate(*LINES[done]) == 0
  sound = tmp_path / f"clip-{done}-seed0.wav"
  out = capsys.readouterr().out
  assert f"try next: siren-jax generate {LINES[done][0]}" in out
  facts = json.loads(sound.with_suffix(".json").read_text())
  assert facts["prompt"] == "" and facts["loudness"] is None
  assert facts["recording"] == {
    "verb": LINES[done][0].removeprefix("--"),
    "path": "clip.wav",
    "fingerprint": fingerprint.of_file(clip),
    "hole": [0.4, 0.6] if done == "filled" else None,
    "keep": 2 if done == "varied" else None,
  }
  again = ["--again", sound.with_suffix(".json").name, "--out", "again.wav"]
  assert main(["generate", *again]) == 0
  assert (tmp_path / "again.wav").read_bytes() == sound.read_bytes()
  assert json.loads((tmp_path / "again.json").read_text()) == facts
  command = shlex.split(facts["command"])
  assert main([*command[1:2], "--out", "command.wav", *command[2:]]) == 0
  assert (tmp_path / "command.wav").read_bytes() == sound.read_bytes()
  assert clip.read_bytes() == before


def test_each_is_that_of_python(generate, clip, tmp_path, tiny_bundle):
  siren = siren_jax.load(tiny_bundle)
  clip_S = soundfile.read(clip, dtype="float32")[0]
  expected = {
    "continued": siren.generate(None, 0.2, continue_from=clip_S)[0],
    "filled": siren.fill(clip_S, 0.4, 0.6),
    "varied": siren.vary(clip_S, 2),
  }
  for done, expected_S in expected.items():
    assert generate(*LINES[done]) == 0
    sound_S = soundfile.read(tmp_path / f"clip-{done}-seed0.wav")[0]
    np.testing.assert_allclose(
      sound_S, np.clip(expected_S, -1, 1), atol=1.01 / 2**15
    )
  joint = len(clip_S) - FADE
  continued_S = expected["continued"]
  np.testing.assert_array_equal(continued_S[:joint], clip_S[:joint])


def test_words_and_samples(generate, clip, tmp_path):
  samples = ["--num-samples", "2", "--seed", "3", "--sample", "1"]
  assert generate("Rain!", *LINES["varied"], *samples) == 0
  sounds = [tmp_path / f"rain-varied-seed3-{n}.wav" for n in (1, 2)]
  assert sounds[0].read_bytes() != sounds[1].read_bytes()
  facts = json.loads(sounds[1].with_suffix(".json").read_text())
  assert (facts["prompt"], facts["sample"]) == ("Rain!", 2)
  json_file = str(sounds[1].with_suffix(".json"))
  assert main(["generate", "--again", json_file, "--out", "x.wav"]) == 0
  assert (tmp_path / "x.wav").read_bytes() == sounds[1].read_bytes()


def test_a_requested_loudness(generate, clip, tmp_path):
  assert generate(*LINES["varied"], "--loudness", "-30", "--out", "x.wav") == 0
  sound_S, _ = soundfile.read(tmp_path / "x.wav")
  assert loudness.integrated(sound_S, RATE) == pytest.approx(-30, abs=1)


def test_a_recording_of_another_kind(generate, tmp_path, capsys):
  """Stereo, 48 kHz, in a format that is not written."""
  soundfile.write(tmp_path / "clip.aiff", noise(0.5, 2, 48000), 48000)
  assert generate("--continue", "clip.aiff") == 0
  err = capsys.readouterr().err
  assert "clip.aiff: 2 channels mixed down" in err
  assert "clip.aiff: resampled 48000 -> 16000 Hz" in err
  info = soundfile.info(tmp_path / "clip-continued-seed0.wav")
  assert (info.frames, info.samplerate) == (0.7 * RATE, RATE)


def test_another_recording_is_not_taken_for_it(
  generate, clip, tmp_path, user_error
):
  assert generate(*LINES["continued"], "--out", "x.wav") == 0
  soundfile.write(clip, noise(2), RATE)
  again = ["generate", "--again", "x.json", "--out", "again/"]
  message = user_error(again)
  assert message.startswith("x.json: clip.wav: fingerprint ")
  clip.unlink()
  assert user_error(again).startswith("x.json: clip.wav: ")
  assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
  ("args", "message"),
  [
    (["--continue", "none.wav"], "none.wav"),
    (["--continue", "notes.txt"], "notes.txt"),
    (["--continue", "."], ".: "),
    (["--vary", "silent.wav"], "silent.wav: silent"),
    (["--vary", "empty.wav"], "empty.wav"),
    (["--vary", "s3://x.wav"], "s3://"),
    (["--vary", "clip.wav", "--keep", "99"], "keep 99"),
    (["--vary", "clip.wav"], "keep 4: give 0 to 3; this model has 4 codebooks"),
    (["--vary", "clip.wav", "--keep", "-1"], "keep -1"),
    (["--vary", "clip.wav", "--seconds", "1"], "--seconds with --vary"),
    (["--fill", "0:1", "clip.wav", "--seconds", "1"], "seconds with --fill"),
    (["--fill", "clip.wav", "0:1"], "--fill clip.wav: give the start and end"),
    (["--fill", "0.5", "clip.wav"], "--fill 0.5: give the start and end"),
    (["--fill", "0.5:0.5", "clip.wav"], "part from 0.5 to 0.5 s"),
    (["--fill", "0.5:1.5", "clip.wav"], "part from 0.5 to 1.5 s"),
    (["--fill", "nan:1", "clip.wav"], "part from nan to 1.0 s"),
    (["--fill", "0:1"], "--fill: expected 2 arguments"),
    (["--continue", "clip.wav", "--keep", "4"], "--keep 4: goes with --vary"),
    (["rain", "--keep", "4"], "--keep 4: goes with --vary"),
    (["--continue", "clip.wav", ""], "a prompt is empty"),
    (["--vary", "a", "--continue", "b"], "--continue: not allowed with"),
    (["--fill", "0:1", "a", "--vary", "b"], "--vary: not allowed with"),
    (["--again", "a", "--vary", "b"], "--vary: not allowed with"),
    (["--again", "a", "--keep", "4"], "--keep with --again"),
  ],
)  # fmt: skip
def test_bad_input_writes_nothing(
  args, message, generate, clip, tmp_path, tiny_bundle, user_error
):
  (tmp_path / "notes.txt").write_text("rain\n")
  soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
  soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
  before = sorted(tmp_path.iterdir())
  model = [] if "--again" in args else ["--model", tiny_bundle]
  assert message in user_error(["generate", *args, *model])
  assert sorted(tmp_path.iterdir()) == before
