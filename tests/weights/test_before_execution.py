"""What was saved when `ExpertConfig` held `dtype` and the loops over experts.

The archive is of tests/fixtures/make_before_execution.py.
"""

import csv
import json
import pathlib
import tarfile

import jax
import numpy as np
import pytest

import siren_jax
from siren_jax import clap, codec
from siren_jax.cli.main import main
from siren_jax.data.sets import index, reader

ROOT = pathlib.Path(__file__).parents[2]
ARCHIVE = ROOT / "tests" / "fixtures" / "before_execution.tar.xz"
PROMPTS = ["a low hum", "a soft hiss"]


@pytest.fixture(autouse=True)
def saved(tmp_path, monkeypatch):
  """A copy of all that was saved: work directories name others from there."""
  with tarfile.open(ARCHIVE) as file:
    file.extractall(tmp_path, filter="data")
  monkeypatch.chdir(tmp_path)
  first = jax.devices()[:1]  # Batches of two do not divide among eight.
  monkeypatch.setattr(jax, "devices", lambda: first)


@pytest.fixture
def expected():
  with np.load("expected.npz") as file:
    return dict(file)


def _run(*argv):
  assert main([str(a) for a in argv]) == 0


def _train(workdir, *overrides):
  """As the work directory was trained, but for overrides."""
  commands = json.loads(pathlib.Path("commands.json").read_text())
  verb, config, *settings = commands[workdir]
  path = ROOT / "configs" / f"{config}.py"
  _run(verb, f"--config={path}", f"--workdir={workdir}", *settings, *overrides)


def _losses(workdir):
  with pathlib.Path(workdir, "metrics.csv").open(newline="") as file:
    return [float(row["train/loss"]) for row in csv.DictReader(file)]


def _check_sounds(bundle, expected):
  siren = siren_jax.load(bundle, dtype="float32")
  audio_BxS = siren.generate(PROMPTS, 0.5, key=1, loudness=None)
  np.testing.assert_allclose(audio_BxS, expected["audio_BxS"], atol=1e-4)
  # Another code would change the sound by more than a hundred times that.
  np.testing.assert_allclose(
    siren.decode(expected["codes_BxNxT"].astype(int)), audio_BxS, atol=1e-4
  )


def test_a_bundle_is_run_as_it_was(expected):
  execution = siren_jax.load("bundle").bundle.execution
  assert execution == siren_jax.Execution(
    dtype="bfloat16", scan_layers=True, remat=True, expert_loop="map"
  )
  _check_sounds("bundle", expected)


def test_a_work_directory_of_experts_is_exported(expected):
  _run(
    "export", "--experts", "experts", "--max-seconds", 1, "--guidance", 2,
    "--out", "again",
  )  # fmt: skip
  _check_sounds("again", expected)


@pytest.mark.parametrize("workdir", ["codec", "clap", "experts", "align"])
def test_a_finished_run_has_nothing_to_do(workdir, capsys):
  """Its checkpoint is restored: config, inputs and state are its own."""
  losses = _losses(workdir)
  _train(workdir)
  output = capsys.readouterr()
  assert "compiling" not in output.err + output.out
  assert _losses(workdir) == losses


@pytest.mark.long
def test_experts_are_trained_on(expected):
  _train("experts", "--config.train.steps=3")
  assert _losses("experts")[2] == pytest.approx(
    expected["experts_loss"], rel=1e-3
  )


@pytest.mark.slow
@pytest.mark.parametrize("workdir", ["codec", "clap"])
def test_a_run_is_trained_on(workdir, expected):
  _train(workdir, "--config.train.steps=3")
  assert _losses(workdir)[2] == pytest.approx(
    expected[f"{workdir}_loss"], rel=1e-2
  )


@pytest.mark.slow
def test_an_alignment_is_trained_on():
  """Sums in bfloat16 have changed, so other codes are drawn."""
  losses = _losses("align")
  _train("align", "--config.train.steps=3")
  assert _losses("align")[:2] == losses
  assert 0 < abs(_losses("align")[2]) < 1


def test_codec_and_clap_of_work_directories_are_those_of_the_bundle():
  siren = siren_jax.load("bundle")
  codes_BxNxT = np.arange(24).reshape(1, 4, 6) % 16
  np.testing.assert_allclose(
    codec.load("codec").decode(codes_BxNxT),
    siren.decode(codes_BxNxT),
    atol=1e-3,  # The bundle has them in float16.
  )
  np.testing.assert_allclose(
    clap.load("clap").encode_text(PROMPTS)[2],
    siren.bundle.clap.encode_text(PROMPTS)[2],
    atol=1e-2,
  )


@pytest.mark.parametrize(
  ("folder", "line"),
  [
    ("codec", "codec: step 2 of 2"),
    ("clap", "clap: step 2 of 2"),
    ("experts", "experts: step 2 of 2"),
    ("align", "align: step 2 of 2"),
    ("bundle", "before: 8000 Hz, windows of 1 s"),
    ("audio", "train: 7 records"),
    ("codes", "validation: 1 records"),
  ],
)
def test_it_can_be_inspected(folder, line, capsys):
  _run("inspect", folder)
  assert line in capsys.readouterr().out


def test_data_sets_are_read_and_have_the_fingerprints_of_their_runs():
  record = reader.open_source("codes", "validation")[0]
  assert record["codes"].shape[1:] == (4, 6)
  for workdir, path in (("codec", "audio"), ("experts", "codes")):
    config = json.loads(pathlib.Path(workdir, "config.json").read_text())
    assert index.fingerprint(path) == config["inputs"]["data.path"]
