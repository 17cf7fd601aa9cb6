"""Names of made sounds: valid, and never that of another file."""

import json
import subprocess
import sys
from concurrent import futures

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from siren_jax.cli import outputs
from siren_jax.common.errors import UserError

FACTS = {"prompt": "rain", "sample_rate": 16000}


@hypothesis.given(
  st.text(st.characters(exclude_categories=["Cs"])),
  st.integers(0, 2**32 - 1),
  st.integers(0, 2**31 - 1),
)
def test_a_name_is_valid_anywhere(prompt, seed, sample):
  stem = outputs.stem(prompt, seed, sample)
  assert len(f"{stem}-999999.json".encode()) <= 255  # with a number and suffix
  assert not set(stem) & set('<>:"/\\|?* .\0\n')
  assert stem.isprintable() and stem[0] != "-"
  assert stem.endswith(f"seed{seed}" + (f"-{sample}" if sample else ""))


def test_names_contain_seed_and_sample():
  assert outputs.stem("A dog, barking!", 7, 0) == "a-dog-barking-seed7"
  assert (
    outputs.stem("rain_in Sp\u00e4t", 0, 12) == "rain-in-sp\u00e4t-seed0-12"
  )
  assert outputs.stem("?!", 0, 0) == "sound-seed0"
  assert outputs.stem("clip", 0, 1, "varied") == "clip-varied-seed0-1"


@hypothesis.given(st.lists(st.sampled_from(["a", "a-2", "a-3", "b"])))
@hypothesis.settings(max_examples=30, deadline=None)
def test_names_never_collide(tmp_path_factory, stems):
  folder = tmp_path_factory.mktemp("sounds")
  audio_S = np.ones(16, "f4") / 2
  paths = [
    outputs.write(folder / f"{stem}.wav", audio_S, FACTS | {"n": i}, False)[0]
    for i, stem in enumerate(stems)
  ]
  assert len(set(paths)) == len(stems)
  for i, path in enumerate(paths):
    assert f'"n": {i}' in path.with_suffix(".json").read_text()
  assert len(list(folder.iterdir())) == 2 * len(stems)


@pytest.mark.parametrize("suffix", [".wav", ".json", ".png"])
def test_a_link_to_nowhere_holds_a_name(suffix, tmp_path):
  (tmp_path / f"x{suffix}").symlink_to("nowhere")
  path, _ = outputs.write(tmp_path / "x.wav", np.ones(9, "f4"), FACTS, False)
  assert path.name == "x-2.wav"


def test_what_cannot_be_written_leaves_nothing(tmp_path):
  with pytest.raises(UserError, match="not finite|NaN"):
    outputs.write(tmp_path / "x.wav", np.full(9, np.nan), FACTS, False)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  "other", ["x.json", "x.png", "x.ogg", "x.aiff", "x.WAV", "x.JSON"]
)
@pytest.mark.parametrize("picture", [False, True])
def test_a_name_belongs_to_one_sound(other, picture, tmp_path):
  (tmp_path / other).write_text("yours")
  path, _ = outputs.write(tmp_path / "x.wav", np.ones(9, "f4"), FACTS, picture)
  assert path.name == "x-2.wav"
  beside = ["x-2.json", "x-2.png"] if picture else ["x-2.json"]
  assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
    [other, "x-2.wav", *beside]
  )
  assert (tmp_path / other).read_text() == "yours"


def test_sounds_written_at_once_share_nothing(tmp_path):
  """Formats differ, names do not: each JSON file is that of its sound."""

  def write(i):
    path = tmp_path / f"x{('.wav', '.flac', '.ogg')[i % 3]}"
    return outputs.write(path, np.ones(9, "f4"), FACTS | {"n": i}, False)[0]

  with futures.ThreadPoolExecutor(12) as pool:
    paths = list(pool.map(write, range(24)))
  assert len({path.stem for path in paths}) == 24
  for i, path in enumerate(paths):
    assert json.loads(path.with_suffix(".json").read_text())["n"] == i
  assert len(list(tmp_path.iterdir())) == 48


@pytest.mark.parametrize(
  ("there", "wanted", "name"),
  [
    ("x.json", "x.wav", "x-2.wav"),  # of decode, which writes no facts
    ("x.flac", "x.wav", "x.wav"),
    ("x.wav", "x.json", "x-2.json"),  # of evaluate
    ("x.wav", "x.npz", "x.npz"),
    ("x.json", "x.md", "x.md"),
  ],
)
def test_no_sound_gets_the_facts_of_another(there, wanted, name, tmp_path):
  (tmp_path / there).touch()
  with outputs.reserved(tmp_path / wanted) as path:
    assert path.name == name


STREAM = """
import numpy as np, sys
from siren_jax.audio import wav_stream
from siren_jax.cli import main, outputs
def run(args):
  with outputs.standard_output() as file:
    print("a word")
    chunks = (np.ones(1000, "f4") for _ in range({chunks}))
    wav_stream.write(file, chunks, 16000)
import siren_jax.cli.models.inspect as verb
verb.run = run
sys.exit(main.main(["inspect"]))
"""


def _stream(chunks):
  script = STREAM.format(chunks=chunks)
  return subprocess.Popen(
    [sys.executable, "-c", script],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )


def test_standard_output_is_sound_alone():
  out, err = _stream(3).communicate()
  assert len(out) == 44 + 6000 and out[44:] == b"\xff\x7f" * 3000
  assert err == b"a word\n"


def test_a_closed_pipe_ends_a_stream_quietly():
  process = _stream(10**9)
  assert process.stdout.read(4) == b"RIFF"
  process.stdout.close()
  assert process.stderr.read() == b"a word\n"
  assert process.wait() == 0


def test_sound_is_not_written_to_a_terminal(monkeypatch):
  monkeypatch.setattr("sys.stdout.isatty", lambda: True)
  with pytest.raises(UserError, match="--out -.*pipe it"):
    with outputs.standard_output():
      pass
