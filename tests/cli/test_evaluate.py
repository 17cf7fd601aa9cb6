"""`siren-jax evaluate`, in this process."""

import json

import numpy as np
import pytest

from siren_jax.cli.main import main
from siren_jax.data import audio


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
      audio.write_wav(path, 0.2 * wave.astype("f4"), 16000)
      path.with_suffix(".json").write_text(json.dumps({"prompt": "a beep"}))
  return tmp_path


def _evaluate(tiny_bundle, generated, reference, *args):
  command = ["evaluate", "--generated", generated, "--reference", reference]
  return main([*command, "--model", str(tiny_bundle), *args])


def test_figures_and_files(folders, tiny_bundle, capsys):
  files = ["--json", "out.json", "--markdown", "out.md"]
  assert _evaluate(tiny_bundle, "real", "real", *files) == 0
  told = capsys.readouterr().out
  assert told.strip() == (folders / "out.md").read_text().strip()
  same = json.loads((folders / "out.json").read_text())
  assert same["fad"] < 1e-6 and same["fd"] < 1e-6 and same["kl"] == 0
  assert "CLAP of" in same["scorers"]["fad"]
  assert set(same["rows"]) == {"generated (6)", "reference (6)"}
  assert _evaluate(tiny_bundle, "noise", "real", "--json", "noise.json") == 0
  noise = json.loads((folders / "noise.json").read_text())
  for key in ("fad", "fd", "kl"):
    assert noise[key] > same[key]


def test_prompts_are_made_first(folders, tiny_bundle):
  (folders / "list.txt").write_text("a dog barking\nrain\n")
  args = ["--prompts", "list.txt", "--seconds", "1", "--json", "out.json"]
  assert _evaluate(tiny_bundle, "made", "real", *args) == 0
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
  told = json.loads((folders / "made" / "4.json").read_text())
  assert told["prompt"] == "a beep, number 4"
  values = json.loads((folders / "out.json").read_text())
  assert values["rows"]["generated (2)"]["kl"]["clips"] == 2
  # Made below the folder of the table, they are no reference for themselves.
  again = ["--json", "again.json"]
  assert _evaluate(tiny_bundle, "made", "test.csv", *again) == 0
  assert values["kl"] > 0
  assert json.loads((folders / "again.json").read_text()) == values
  assert values["rows"]["reference (2)"]["clap"]["clips"] == 2


def test_pairs_by_their_samples(folders, tiny_bundle, user_error, capsys):
  found = {}
  for name in ("real", "near", "noise"):
    args = ["--paired", "--json", f"{name}.json"]
    assert _evaluate(tiny_bundle, name, "real", *args) == 0
    found[name] = json.loads((folders / f"{name}.json").read_text())
  assert "| mel | stft | si_sdr |" in capsys.readouterr().out
  assert found["real"]["mel"] == found["real"]["stft"] == 0
  for key in ("mel", "stft"):
    assert found["near"][key] < found["noise"][key]
  assert found["real"]["si_sdr"] > 60 > found["noise"]["si_sdr"]
  for i in range(6):
    (folders / "near" / f"{i}.wav").rename(folders / "near" / f"x{i}.wav")
  command = ["evaluate", "--generated", "near", "--reference", "real"]
  told = user_error([*command, "--paired", "--model", tiny_bundle])
  assert "pairs go by name" in told


def test_bad_input(folders, tiny_bundle, user_error):
  command = ["evaluate", "--model", tiny_bundle, "--reference", "real"]
  assert "no sound files" in user_error([*command, "--generated", "none"])
  told = user_error([*command, "--generated", "near", "--prompts", "x.txt"])
  assert "not empty" in told
  (folders / "list.txt").write_text("rain\n")
  made = [*command, "--generated", "made", "--prompts", "list.txt"]
  assert "config.json" in user_error([*made, "--vggish", "typo"])
  assert not (folders / "made").exists(), "told before clips are made"
  (folders / "near" / "3.wav").write_bytes(b"RIFF")
  assert "3.wav" in user_error([*command, "--generated", "near"])
  told = user_error([*command, "--generated", "real", "--json", "out.txt"])
  assert ".json" in told
