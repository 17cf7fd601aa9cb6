"""`siren-jax evaluate`, in this process."""

import json

import numpy as np
import pytest
import soundfile

from siren_jax.audio import sound_files
from siren_jax.cli.main import main
from siren_jax.evaluation import report
from siren_jax.evaluation.scorers import BatchConfig


@pytest.fixture
def folders(tmp_path, monkeypatch):
  """Tones and, under the same names, other tones; noises."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  rng = np.random.default_rng(0)
  time = np.arange(20000) / 16000
  for i in range(6):
    for name in ("real", "near", "noise"):
      wave = np.sin(2 * np.pi * 200 * (i + 1 + rng.uniform(0, 0.05)) * time)
      if name == "noise":
        wave = rng.normal(size=len(time))
      path = tmp_path / name / f"{i}.wav"
      sound_files.write_audio(path, 0.2 * wave.astype("f4"), 16000)
      path.with_suffix(".json").write_text(json.dumps({"prompt": "a beep"}))
  return tmp_path


def _evaluate(tiny_bundle, generated, reference, *args):
  command = ["evaluate", "--generated", generated, "--reference", reference]
  return main([*command, "--model", str(tiny_bundle), *args])


def test_figures_are_written_as_json_and_markdown(folders, tiny_bundle, capsys):
  files = ["--json", "out.json", "--markdown", "out.md"]
  assert _evaluate(tiny_bundle, "real", "real", *files) == 0
  output = capsys.readouterr().out
  assert output.strip() == (folders / "out.md").read_text().strip()
  same = json.loads((folders / "out.json").read_text())
  assert same["fad"] < 1e-6 and same["fd"] < 1e-6 and same["kl"] == 0
  assert "CLAP of" in same["scorers"]["fad"]
  assert set(same["rows"]) == {"generated (6)", "reference (6)"}
  assert _evaluate(tiny_bundle, "noise", "real", "--json", "noise.json") == 0
  noise = json.loads((folders / "noise.json").read_text())
  for key in ("fad", "fd", "kl"):
    assert noise[key] > same[key]


def test_batches_have_the_requested_size(folders, tiny_bundle, monkeypatch):
  batches, extract = [], report.extract

  def spy(*args):
    batches.append(args[-1])
    return extract(*args)

  monkeypatch.setattr(report, "extract", spy)
  batch = ["--batch-clips", "2", "--batch-seconds", "9", "--batch-texts", "4"]
  assert _evaluate(tiny_bundle, "near", "real", *batch) == 0
  assert batches == [BatchConfig(clips=2, seconds=9, texts=4)] * 2


def test_figures_of_before_stay(folders, tiny_bundle, capsys):
  (folders / "out.json").write_text("kept")
  args = ["real", "real", "--json", "out.json"]
  assert _evaluate(tiny_bundle, *args) == 0
  assert "out.json already exists; wrote out-2.json" in capsys.readouterr().err
  assert (folders / "out.json").read_text() == "kept"
  assert json.loads((folders / "out-2.json").read_text())["kl"] == 0


def test_prompts_are_made_first(folders, tiny_bundle):
  (folders / "list.txt").write_text("a dog barking\nrain\n")
  args = ["--prompts", "list.txt", "--seconds", "1", "--json", "out.json"]
  assert _evaluate(tiny_bundle, "made", "real", *args, "--seed", "3") == 0
  facts = json.loads(next((folders / "made").glob("*.json")).read_text())
  assert (facts["seed"], facts["seconds"]) == (3, 1.0)
  values = json.loads((folders / "out.json").read_text())
  assert "kl" not in values and "clap" in values
  assert len(list((folders / "made").glob("*.wav"))) == 2


def test_a_table_names_the_clips_to_make(folders, tiny_bundle):
  """AudioCaps' own: a clip for each recording, one of the pair, captioned."""
  lines = [f'{i},{i},0,"a beep, number {i}"\n' for i in (1, 4, 9)]
  (folders / "test.csv").write_text(
    "audiocap_id,youtube_id,start_time,caption\n" + "".join(lines)
  )
  for path in (folders / "near").iterdir():
    path.rename(folders / "real" / f"Y{path.name}")  # Names may be either.
  args = ["--prompts", "test.csv", "--seconds", "1", "--json", "out.json"]
  assert _evaluate(tiny_bundle, "made", "test.csv", *args) == 0
  assert {p.stem for p in (folders / "made").iterdir()} == {"1", "4"}
  facts = json.loads((folders / "made" / "4.json").read_text())
  assert facts["prompt"] == "a beep, number 4"
  values = json.loads((folders / "out.json").read_text())
  assert values["rows"]["generated (2)"]["kl"]["clips"] == 2
  # Made below the folder of the table, they are no reference for themselves.
  again = ["--json", "again.json"]
  assert _evaluate(tiny_bundle, "made", "test.csv", *again) == 0
  assert values["kl"] > 0
  assert json.loads((folders / "again.json").read_text()) == values
  assert values["rows"]["reference (2)"]["clap"]["clips"] == 2


def test_pairs_by_their_samples(folders, tiny_bundle, user_error, capsys):
  figures = {}
  for name in ("real", "near", "noise"):
    args = ["--paired", "--json", f"{name}.json"]
    assert _evaluate(tiny_bundle, name, "real", *args) == 0
    figures[name] = json.loads((folders / f"{name}.json").read_text())
  assert "| mel | stft | si_sdr |" in capsys.readouterr().out
  assert figures["real"]["mel"] == figures["real"]["stft"] == 0
  for key in ("mel", "stft"):
    assert figures["near"][key] < figures["noise"][key]
  assert figures["real"]["si_sdr"] > 60 > figures["noise"]["si_sdr"]
  for i in range(6):
    (folders / "near" / f"{i}.wav").rename(folders / "near" / f"x{i}.wav")
  command = ["evaluate", "--generated", "near", "--reference", "real"]
  message = user_error([*command, "--paired", "--model", tiny_bundle])
  assert "clips are paired by name" in message


def test_input_that_cannot_be_evaluated_is_refused(
  folders, tiny_bundle, user_error
):
  command = ["evaluate", "--model", tiny_bundle, "--reference", "real"]
  assert "no sound files" in user_error([*command, "--generated", "none"])
  message = user_error([*command, "--generated", "near", "--prompts", "x.txt"])
  assert "not empty" in message
  (folders / "list.txt").write_text("rain\n")
  options = [*command, "--generated", "made", "--prompts", "list.txt"]
  message = user_error([*options, "--batch-clips", "0"])
  assert "batch clips=0: must be above 0" in message
  message = user_error([*options, "--vggish", "typo"])
  assert (
    "typo: no such folder; make it with siren-jax import-weights" in message
  )
  assert not (folders / "made").exists(), "told before clips are made"
  for i in range(5):
    (folders / "near" / f"{i}.wav").write_bytes(b"RIFF")
  message = user_error([*command, "--generated", "near"])
  assert (
    "only 1 can be scored" in message
    and "0.wav" in message
    and "two are" in message
  )
  message = user_error([*command, "--generated", "real", "--json", "out.txt"])
  assert ".json" in message


def test_an_output_never_takes_the_place_of_a_caption(folders, user_error):
  command = ["evaluate", "--generated", "near", "--reference", "real"]
  before = (folders / "real" / "2.json").read_bytes()
  for path in ("real/2.json", "near/../real/2.json"):
    message = user_error([*command, "--json", path])
    assert "2.wav" in message and "another name" in message
  (folders / "list.txt").write_text("rain\n")
  options = ["--generated", "made", "--prompts", "list.txt"]
  path = "made/rain-seed0.json"
  message = user_error([*command, *options, "--json", path])
  assert "rain-seed0.wav" in message
  assert (folders / "real" / "2.json").read_bytes() == before


def test_bad_clips_are_skipped_and_counted(folders, tiny_bundle, capsys):
  (folders / "near" / "1.wav").write_bytes(b"RIFF")
  sound_files.write_audio(
    folders / "near" / "2.wav", np.zeros(20000, "f4"), 16000
  )
  short_S = np.linspace(-0.5, 0.5, 500, dtype="f4")
  sound_files.write_audio(folders / "real" / "3.wav", short_S, 16000)
  (folders / "near" / "4.json").write_text("{")
  (folders / "near" / "5.m4a").touch()
  args = ["--paired", "--json", "out.json"]
  assert _evaluate(tiny_bundle, "near", "real", *args) == 0
  values = json.loads((folders / "out.json").read_text())
  assert set(values["rows"]) == {"generated (4)", "reference (5)"}
  assert values["pairs"] == 3
  assert values["rows"]["generated (4)"]["mel"]["clips"] == 3
  assert values["rows"]["generated (4)"]["clap"]["clips"] == 3
  assert values["rates"]["generated"] == {"16000": 4}
  for name in ("1.wav", "2.wav", "3.wav", "5.m4a"):
    assert sum(name in line for line in values["skipped"]) == 1
  assert len(values["skipped"]) == 4
  for key in (
    "kl: from 3 pairs",
    "clap: from 3 of 4",
    "clap: 1 JSON",
    "fad_inf",
  ):
    assert any(line.startswith(key) for line in values["warnings"])
  shown = capsys.readouterr().out
  assert "pairs with the same name: 3" in shown and "skipped (4): " in shown
  assert all(f"warning: {line}" in shown for line in values["warnings"])


def test_clips_of_several_rates_are_counted(folders, tiny_bundle):
  for i in range(3):
    path = folders / "near" / f"{i}.wav"
    samples = np.stack(2 * [sound_files.read_audio(path, 44100)[0]], 1)
    soundfile.write(path, samples, 44100)
  args = ["--json", "out.json", "--cache", "kept"]
  for _ in range(2):  # Heard, and from the cache.
    assert _evaluate(tiny_bundle, "near", "real", *args) == 0
    values = json.loads((folders / "out.json").read_text())
    assert values["rates"] == {
      "generated": {"16000": 3, "44100": 3},
      "reference": {"16000": 6},
    }
    assert values["notes"] == {
      "2 channels mixed down": 3,
      "resampled 44100 -> 16000 Hz": 3,
    }
    assert any("different sample rates" in w for w in values["warnings"])
  assert len(list((folders / "kept").rglob("*.npz"))) == 12
  assert not (folders / "cache" / "siren-jax" / "heard").exists()


def test_one_bundle_in_two_places(folders, tiny_bundle):
  """Its results of one place are none of the other's: they resample apart."""
  rng = np.random.default_rng(0)
  for i in range(6):
    path = folders / "noise" / f"{i}.wav"
    sound_files.write_audio(
      path, 0.1 * rng.normal(size=50000).astype("f4"), 44100
    )
  figures = []
  for i, args in enumerate(([], ["--clap", str(tiny_bundle)], [])):
    args = ["--json", f"{i}.json", *args]
    assert _evaluate(tiny_bundle, "noise", "real", *args) == 0
    figures.append(json.loads((folders / f"{i}.json").read_text()))
  assert figures[0] == figures[2]
  assert figures[1]["scorers"]["clap"].endswith("torchaudio")
  assert figures[1]["clap"] != figures[0]["clap"]
  for key in ("fad", "fd", "is", "kl"):
    assert figures[0][key] == figures[1][key]


def test_without_a_cache_the_figures_are_the_same(
  folders, tiny_bundle, caplog, monkeypatch
):
  figures = []
  for i, home in enumerate(("cache", "list.txt/cache")):
    (folders / "list.txt").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders / home))
    caplog.clear()
    args = ["near", "real", "--json", f"{i}.json"]
    assert _evaluate(tiny_bundle, *args) == 0
    figures.append(json.loads((folders / f"{i}.json").read_text()))
  assert figures[0] == figures[1]
  assert sum("not cached" in message for message in caplog.messages) == 1


def test_one_folder_within_the_other(folders, tiny_bundle):
  (folders / "near").rename(folders / "real" / "near")
  for name, command in (
    ("in.json", ("real/near", "real")),
    ("out.json", ("real", "real/near")),
  ):
    assert _evaluate(tiny_bundle, *command, "--json", name) == 0
    values = json.loads((folders / name).read_text())
    assert set(values["rows"]) == {"generated (6)", "reference (6)"}
    assert not any("of the reference too" in w for w in values["warnings"])
  assert _evaluate(tiny_bundle, "noise", "noise", "--json", "one.json") == 0
  values = json.loads((folders / "one.json").read_text())
  assert any(
    "6 of 6 generated clips are also reference clips" in warning
    for warning in values["warnings"]
  )
