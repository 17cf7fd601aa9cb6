"""`siren-jax generate --again`."""

import json

import pytest
import soundfile

from siren_jax.cli.main import main
from siren_jax.cli.sounds import again

FACTS = {
  "prompt": "rain",
  "sample": 0,
  "seed": 7,
  "seconds": 0.2,
  "settings": {
    "temperature": 1.0,
    "top_k": None,
    "top_p": None,
    "guidance": None,
  },
  "model": "tiny",
  "version": "0.1.0",
}


@pytest.fixture
def sound(tmp_path, tiny_bundle, monkeypatch):
  """The second of two sounds drawn with many settings, in sounds/."""
  monkeypatch.chdir(tmp_path)
  assert (
    main([
      "generate", "wind", "rain", "--num-samples", "2", "--seed", "3",
      "--candidates", "2", "--top-k", "9", "--guidance", "1.5", "--seconds",
      "0.2", "--loudness", "-30", "--batch-size", "2", "--out", "sounds/",
      "--model", str(tiny_bundle),
    ]) == 0
  )  # fmt: skip
  return tmp_path / "sounds" / "rain-seed3-1.wav"


def test_the_same_sound_under_a_name_of_its_own(sound, tmp_path, capsys):
  before = sorted((tmp_path / "sounds").iterdir())
  facts = sound.with_suffix(".json")
  assert main(["generate", "--again", str(facts)]) == 0
  again = tmp_path / sound.name
  assert again.read_bytes() == sound.read_bytes()
  assert again.with_suffix(".json").read_bytes() == facts.read_bytes()
  out = ["--out", "sounds/", "--spectrogram"]
  assert main(["generate", "--again", str(facts), *out]) == 0
  assert "rain-seed3-1.wav already exists" in capsys.readouterr().out
  second = sound.with_name("rain-seed3-1-2.wav")
  assert second.read_bytes() == sound.read_bytes()
  assert sorted((tmp_path / "sounds").iterdir()) == sorted(
    [*before, *(second.with_suffix(s) for s in (".wav", ".json", ".png"))]
  )


def test_in_another_format(sound, tmp_path):
  facts = str(sound.with_suffix(".json"))
  assert main(["generate", "--again", facts, "--out", "x.flac"]) == 0
  flac_S, wav_S = (
    soundfile.read(path, dtype="int16")[0].astype(int)
    for path in (tmp_path / "x.flac", sound)
  )
  assert abs(flac_S - wav_S).max() <= 1  # libsndfile rounds the one


def test_a_model_that_has_moved_or_changed(
  sound, tmp_path, tiny_bundle, user_error
):
  facts = json.loads(sound.with_suffix(".json").read_text())
  (tmp_path / "moved.json").write_text(
    json.dumps(facts | {"model_path": "gone"})
  )
  command = ["generate", "--again", "moved.json"]
  message = user_error(command)
  assert message.startswith("moved.json: no model 'gone'")
  assert main([*command, "--model", str(tiny_bundle)]) == 0
  assert (tmp_path / "moved-2.wav").read_bytes() == sound.read_bytes()
  message = user_error([*command, "--model", "siren-small"])
  assert "made by tiny (fingerprint" in message and "set --model" in message


def test_files_of_before_are_read(tmp_path, tiny_bundle, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  old = {k: v for k, v in FACTS.items() if k != "sample"}
  (tmp_path / "old.json").write_text(json.dumps(old | {"version": "0.0.1"}))
  model = ["--model", str(tiny_bundle)]
  assert main(["generate", "--again", "old.json", *model]) == 0
  err = capsys.readouterr().err
  assert "old.json: does not say which weights made it" in err
  assert "old.json: made by siren-jax 0.0.1" in err
  assert soundfile.info(tmp_path / "old-2.wav").frames == 3200
  flags = ["--seconds", "0.2", "--loudness", "none", *model]
  assert main(["generate", "rain", "--seed", "7", *flags]) == 0
  same = (tmp_path / "rain-seed7.wav").read_bytes()
  assert (tmp_path / "old-2.wav").read_bytes() == same


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"seed": "7"}, "seed='7': expected int"),
    ({"seed": True}, "seed=True: expected an int"),
    ({"seconds": None}, "seconds=None: expected float"),
    ({"prompt": ["rain"]}, r"prompt=\['rain'\]: expected a string"),
    ({"settings": 3}, "settings=3"),
    ({"settings": {"temperature": 1.0}}, "settings.top_k is missing"),
    ({"settings": FACTS["settings"] | {"top_k": 1.5}}, "settings.top_k=1.5"),
    ({"continue_from": "x.wav"}, "continue_from is unknown to siren-jax"),
    ({"loudness": "loud"}, "loudness='loud': expected float"),
    ({"recording": {"path": "x.wav"}}, "recording.verb is missing"),
    ({"recording": {"verb": "mix", "path": "x"}}, "recording.verb='mix'"),
    ({"recording": {"verb": "fill", "path": "x"}}, "recording.hole=None"),
    (
      {"recording": {"verb": "fill", "path": "x", "hole": [1.0]}},
      "recording.hole=.*expected 2 values",
    ),
    (
      {"recording": {"verb": "continue", "path": "x", "keep": 4}},
      "recording.keep=4: vary requires it",
    ),
    ({"recording": {"verb": "vary", "path": "x", "by": 1}}, "recording.by is"),
    ({"recording": "x.wav"}, "recording='x.wav': expected a group"),
  ],
)
def test_a_fact_that_is_wrong_is_named(change, message, tmp_path, user_error):
  path = tmp_path / "x.json"
  path.write_text(json.dumps(FACTS | change))
  with pytest.raises(again.UserError, match=message) as error:
    again.read(path)
  assert str(error.value).startswith(f"{path}: ")
  assert str(error.value).endswith(again._REMEDY)


@pytest.mark.parametrize("name", ["prompt", "seed", "seconds", "settings"])
def test_a_fact_that_is_missing_is_named(name, tmp_path):
  path = tmp_path / "x.json"
  path.write_text(json.dumps({k: v for k, v in FACTS.items() if k != name}))
  match = "does not say" if name == "prompt" else f"{name} is missing"
  with pytest.raises(again.UserError, match=match):
    again.read(path)


@pytest.mark.parametrize("prompt", ["s3://rain", "https://rain.org", " \n"])
def test_a_prompt_may_be_any_text(prompt, tmp_path):
  path = tmp_path / "x.json"
  command = f"siren-jax generate -- {prompt}"
  texts = {"prompt": prompt, "expanded_prompt": prompt, "command": command}
  path.write_text(json.dumps(FACTS | texts))
  facts = again.read(path)
  assert facts.prompt == facts.expanded_prompt == prompt


@pytest.mark.parametrize("content", ["[]", "{}", "rain", '{"fad": 3}', "\x00"])
def test_what_is_no_such_file_is_refused(content, tmp_path, user_error):
  path = tmp_path / "x.json"
  path.write_text(content)
  message = user_error(["generate", "--again", path, "--out", tmp_path])
  assert message.startswith(f"{path}: ") and message.endswith(again._REMEDY)
  assert sorted(p.name for p in tmp_path.iterdir()) == ["x.json"]


@pytest.mark.parametrize(
  "flags",
  [["rain"], ["--seed", "0"], ["--prompts", "x"], ["--loudness", "none"],
   ["--batch-size", "4"], ["--guidance", "3"], ["--sample", "0"]],
)  # fmt: skip
def test_flags_that_the_file_sets_are_refused(flags, tmp_path, user_error):
  (tmp_path / "x.json").write_text(json.dumps(FACTS))
  message = user_error(["generate", "--again", tmp_path / "x.json", *flags])
  flag = "PROMPT" if flags == ["rain"] else flags[0]
  assert message.startswith(f"{flag} with --again: ")
