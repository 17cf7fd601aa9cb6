"""`siren-jax generate`, in this process."""

import io
import json
import shlex

import numpy as np
import pytest
import soundfile
import tqdm.auto

import siren_jax
from siren_jax import api
from siren_jax.cli import outputs, runtime
from siren_jax.cli.main import main


def names(folder):
  return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_one_prompt_gives_a_sound_and_its_facts(
  generate, tmp_path, tiny_model, capsys
):
  assert generate("A dog, barking!", "--seed", "7", "--top-k", "9") == 0
  out = capsys.readouterr().out
  assert names(tmp_path) == [
    "a-dog-barking-seed7.json",
    "a-dog-barking-seed7.wav",
  ]
  assert "a-dog-barking-seed7.wav" in out
  assert "compile" in out
  assert "siren-jax generate" in out
  info = soundfile.info(tmp_path / "a-dog-barking-seed7.wav")
  rate = tiny_model.codec.config.sample_rate
  assert (info.subtype, info.samplerate, info.channels) == ("PCM_16", rate, 1)
  assert info.frames == round(0.2 * rate)
  sidecar = json.loads((tmp_path / "a-dog-barking-seed7.json").read_text())
  assert sidecar["prompt"] == "A dog, barking!"
  assert sidecar["seed"] == 7
  assert sidecar["settings"]["top_k"] == 9
  assert sidecar["model"] == "tiny"
  assert sidecar["version"] == siren_jax.__version__
  assert sidecar["clap_score"] is None  # nothing to choose from
  assert sidecar["loudness"] == -23
  assert sidecar["dtype"] == "float32"


@pytest.mark.long
def test_many_prompts_samples_and_pictures(generate, tmp_path):
  (tmp_path / "list.txt").write_text("rain\n\n  wind \nrain\n")
  assert (
    generate(
      "beep", "--prompts", "list.txt", "--num-samples", "2", "--spectrogram",
      "--out", "new/sounds",
    ) == 0
  )  # fmt: skip
  stems = [
    f"{word}-seed0{sample}"
    for word, samples in (
      ("beep", ("", "-1")), ("rain", ("", "-1", "-2", "-3")),
      ("wind", ("", "-1")),
    )
    for sample in samples
  ]  # fmt: skip
  folder = tmp_path / "new" / "sounds"
  suffixes = (".json", ".png", ".wav")
  assert names(folder) == sorted(s + x for s in stems for x in suffixes)
  rain = [(folder / f"{s}.wav").read_bytes() for s in stems if "rain" in s]
  assert len(set(rain)) == 4
  picture = (folder / "wind-seed0.png").read_bytes()
  assert picture.startswith(b"\x89PNG") and len(picture) > 5000


def test_same_seed_same_file(generate, tmp_path):
  for name, seed in (("a.wav", "1"), ("b.wav", "1"), ("c.wav", "2")):
    assert generate("rain", "--seed", seed, "--out", name) == 0
  sounds = [(tmp_path / f"{n}.wav").read_bytes() for n in "abc"]
  assert sounds[0] == sounds[1] != sounds[2]


def test_file_and_python_agree(generate, tmp_path, tiny_bundle):
  assert generate("rain", "--seed", "3", "--out", "x.wav") == 0
  written, _ = soundfile.read(tmp_path / "x.wav", dtype="float32")
  generated = siren_jax.load(tiny_bundle).generate("rain", 0.2, key=3)[0]
  np.testing.assert_allclose(written, generated, atol=1e-4)


@pytest.mark.parametrize(
  "flags",
  [
    (
      "--top-k",
      "9",
      "--top-p",
      "0.8",
      "--guidance",
      "1.5",
      "--temperature",
      "0.5",
    ),
    ("--top-k", "none", "--top-p", "none", "--guidance", "none"),
  ],
)
def test_a_sound_is_made_again_by_the_command_in_its_json(
  flags, generate, tmp_path
):
  assert (
    generate(
      "rain", "wind", "--num-samples", "2", "--seed", "3", "--candidates",
      "2", *flags, "--loudness", "none",
    ) == 0
  )  # fmt: skip
  first = tmp_path / "wind-seed3-1.wav"
  facts = json.loads(first.with_suffix(".json").read_text())
  assert facts["sample"] == 1 and -1 <= facts["clap_score"] <= 1
  settings = facts["settings"]
  off = "none" in flags
  assert (settings["top_k"] is None, settings["guidance"] is None) == (off, off)
  again = shlex.split(facts["command"])
  assert again[0] == "siren-jax"
  assert main([*again[1:2], "--out", "again.wav", *again[2:]]) == 0
  assert (tmp_path / "again.wav").read_bytes() == first.read_bytes()


def test_no_sound_takes_the_place_of_another(generate, tmp_path, capsys):
  """Other settings, other words of the same name, a recording of yours."""
  (tmp_path / "mine.json").write_text("{}")
  commands = [
    ["rain", "--spectrogram"],
    ["rain", "--temperature", "0.5"],
    ["Rain!"],
    ["rain", "--out", "mine.wav"],
  ]
  for command in commands:
    assert generate(*command, "--top-k", "9") == 0
  out = capsys.readouterr().out
  stems = ["mine-2", "rain-seed0", "rain-seed0-2", "rain-seed0-3"]
  sounds = sorted(tmp_path.glob("*.wav"), key=lambda path: path.stem)
  assert [p.stem for p in sounds] == stems
  assert len({p.read_bytes() for p in sounds}) > 1
  for path, prompt in zip(sounds, ("rain", "rain", "rain", "Rain!")):
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["prompt"] == prompt
  assert (tmp_path / "mine.json").read_text() == "{}"
  assert len(list(tmp_path.glob("*.png"))) == 1
  assert "rain-seed0.wav already exists" in out
  assert "mine.wav already exists" in out


def test_a_sound_that_is_not_written_leaves_nothing(
  generate, tmp_path, monkeypatch
):
  def fail(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(outputs.files, "replacing", fail)
  assert generate("rain") == 2
  assert names(tmp_path) == []


def test_mesh_dtype_and_expansion_reach_load(
  generate, tmp_path, monkeypatch, capsys
):
  """What it makes of them is tested in test_api."""
  load, arguments = api.load, []

  def spy(model, mesh, batch_size, dtype, expand):
    arguments.append((mesh, dtype, expand))
    return load(model, None, batch_size, dtype=dtype, expand=expand)

  monkeypatch.setattr(api, "load", spy)
  assert generate("rain") == 0
  flags = "--mesh", "expert=2, data=4", "--dtype", "bfloat16", "--no-expand"
  assert generate("rain", *flags) == 0
  mesh = siren_jax.MeshConfig(data=4, expert=2)
  assert arguments == [(None, None, True), (mesh, "bfloat16", False)]
  out = capsys.readouterr().out
  assert "--mesh 'expert=2, data=4' --dtype bfloat16 --no-expand" in out
  facts = json.loads((tmp_path / "rain-seed0-2.json").read_text())
  assert facts["dtype"] == "bfloat16"
  command = shlex.split(facts["command"])
  assert {*("--mesh=expert=2, data=4", "--dtype=bfloat16", "--no-expand")} < {
    *command
  }


def test_a_long_sound_is_that_of_python(generate, tmp_path, tiny_bundle):
  """Several windows, written as they are made."""
  assert generate("rain", "wind", "--seconds", "5.3", "--out", "long/") == 0
  siren = siren_jax.load(tiny_bundle)
  for word in ("rain", "wind"):
    written_S, _ = soundfile.read(tmp_path / "long" / f"{word}-seed0.wav")
    expected_S = siren.generate(word, 5.3)[0]
    np.testing.assert_allclose(written_S, expected_S, atol=1.01 / 2**15)


def test_progress_is_in_seconds_of_sound(generate, monkeypatch, tiny_model):
  bars, added = [], []
  config = tiny_model.codec.config
  frame = config.hop / config.sample_rate
  add = runtime.SecondsBar.add
  monkeypatch.setattr(
    runtime.SecondsBar,
    "add",
    lambda bar, seconds: added.append(seconds) or add(bar, seconds),
  )

  class Bar(tqdm.auto.tqdm):
    def __init__(self, **options):
      super().__init__(**options | {"disable": False, "file": io.StringIO()})
      bars.append(self)

  monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
  assert generate("rain", "--num-samples", "5", "--seconds", "0.21") == 0
  assert bars[0].total == pytest.approx(1.05)
  assert bars[0].n == pytest.approx(1.05)
  assert sum(added) == pytest.approx(1.05, abs=5 * frame)
  line = bars[0].fp.getvalue().split("\r")[-1]
  assert "1.1/1.1 s of sound" in line or "1.0/1.0 s of sound" in line
  assert "s/s" in line


def test_an_interrupt_leaves_whole_sounds(
  generate, tmp_path, monkeypatch, capsys
):
  write, paths = outputs.write, []

  def stop_at_the_second(path, *rest):
    paths.append(path)
    if len(paths) == 2:
      raise KeyboardInterrupt
    return write(path, *rest)

  monkeypatch.setattr(outputs, "write", stop_at_the_second)
  assert generate("rain", "--num-samples", "3") == 130
  assert names(tmp_path) == ["rain-seed0.json", "rain-seed0.wav"]
  assert "1 of 3 sounds are written" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("args", "message"),
  [
    ([], "no prompt"),
    ([""], "empty"),
    (["rain", "  "], "empty"),
    (["--prompts", "none.txt"], "none.txt"),
    (["--prompts", "blank.txt"], "no prompt"),
    (["--prompts", "binary.txt"], "UTF-8"),
    (["--prompts", "table.csv"], "a table, not a list of prompts"),
    (["x", "--seconds", "0"], "seconds 0"),
    (["x", "--seconds", "86401"], "seconds 86401"),
    (["x", "--seconds", "none"], "--seconds none: a file needs a length"),
    (["x", "--seconds", "nan"], "seconds nan"),
    (["x", "--seconds", "1", "--num-samples", "0"], "num_samples 0"),
    (["x", "--seconds", "1", "--seed", "-1"], "seed -1"),
    (["x", "--temperature", "-1"], "temperature"),
    (["x", "--seconds", "1", "--sample", "-1"], "sample -1"),
    (["x", "--loudness", "loud"], "--loudness loud"),
    (["x", "--seconds", "1", "--loudness", "5"], "loudness 5.0 LUFS"),
    (["x", "--seconds", "1", "--batch-size", "0"], "batch_size 0"),
    (["x", "--top-k", "-1"], "top_k"),
    (["x", "--top-p", "0"], "top_p"),
    (["x", "--out", "blank.txt/sounds"], "blank.txt"),
    (["x", "--out", "x.m4a"], "x.m4a"),
    (["x", "--out", "s3://bucket/x.wav"], "s3://"),
    (["x", "y", "--out", "one.wav"], "one.wav is one file for 2 sounds"),
    (["x", "--out", "/proc/nowhere"], "/proc"),
    (["x", "--mesh", "rows=2"], "'rows=2' is not an axis"),
    (["x", "--mesh", "data=two"], "'data=two' is not an axis"),
    (["x", "--mesh", "data=4,data=2"], "'data=2' is not an axis"),
    (["x", "--mesh", ""], "--mesh"),
    (["x", "--mesh", "expert=0"], "at least 1"),
    (["x", "--mesh", "data=3"], "does not fill 8 device"),
    (["x", "--mesh", "model=2"], "cannot be split evenly over the 2"),
    (["x", "--model", "no-such-model"], "no-such-model"),
    (["x", "--model", "folder.wav"], "config.json"),
  ],
)
def test_bad_input_writes_nothing(
  args, message, tmp_path, tiny_bundle, monkeypatch, user_error
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "blank.txt").write_text("\n \n")
  (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00rain")
  (tmp_path / "folder.wav").mkdir()
  before = names(tmp_path)
  model = [] if "--model" in args else ["--model", tiny_bundle]
  assert message in user_error(["generate", *args, *model])
  assert names(tmp_path) == before
