"""What is said beside the figures, of clips and hearings made up."""

import shutil

import numpy as np
import pytest
import soundfile

from siren_jax.evaluation import clips, remarks, report
from siren_jax.evaluation.scorers import Panel, Scorer

WIDTH = 4
OURS = Scorer("ours", 16000, None, "ours", 0.1, resampler="soxr")
PANEL = Panel(OURS, OURS, OURS)


@pytest.fixture
def side(tmp_path):
  """Makes a side of clips with these names, rates and captions."""

  def side(folder, names, rates=(16000,), captions=("rain",), windows=2):
    listed = []
    for i, name in enumerate(names):
      path = tmp_path / folder / f"{name}.wav"
      path.parent.mkdir(exist_ok=True)
      soundfile.write(path, np.full(100, 0.5), rates[i % len(rates)])
      caption = captions[i % len(captions)]
      listed.append(clips.Clip(path, name, f"{folder}{i}", caption))
    features = {"clip": np.zeros(WIDTH), "windows": np.zeros((windows, WIDTH))}
    by_clip = [features] * len(names)
    captions, problems = clips.captions(listed)
    return report.Side(
      listed,
      report.PanelFeatures(names, by_clip, by_clip, by_clip, captions),
      [rates[i % len(rates)] for i in range(len(names))],
      problems,
    )

  return side


def _of(reference, generated, log=None):
  return remarks.of(reference, generated, PANEL, log or clips.Log())


def _about(key, warnings):
  return [w for w in warnings if w.startswith(f"{key}:")]


NAMES = [f"{i:02}" for i in range(30)]


def test_nothing_to_warn_of(side):
  result = _of(side("real", NAMES), side("made", NAMES))
  assert not result.warnings
  assert result.pairs == 30
  assert result.rates == {"generated": {16000: 30}, "reference": {16000: 30}}


def test_why_kl_is_missing_and_of_how_many_pairs_it_is(side):
  real = side("real", NAMES)
  result = _of(real, side("made", [f"x{name}" for name in NAMES]))
  assert result.pairs == 0
  [warning] = _about("kl", result.warnings)
  assert "missing" in warning and "'x00'" in warning and "'00'" in warning
  result = _of(real, side("made", [*NAMES[:25], "x"]))
  assert result.pairs == 25
  [warning] = _about("kl", result.warnings)
  assert "25 pairs" in warning and "1 of 26" in warning


def test_why_clap_is_missing_and_of_how_many_clips_it_is(side, tmp_path):
  real = side("real", NAMES)
  [warning] = _about(
    "clap", _of(real, side("a", NAMES, captions=[""])).warnings
  )
  assert "missing for generated" in warning and '"prompt"' in warning
  (tmp_path / "b").mkdir()
  (tmp_path / "b" / "01.json").write_text("{")
  half = side("b", NAMES, captions=["rain", ""])
  partly, broken = _about("clap", _of(real, half).warnings)
  assert "15 of 30" in partly
  assert broken.startswith("clap: 1 JSON") and "01.json" in broken


def test_too_few_clips_for_a_distance(side):
  """More rows than dimensions make a covariance of full rank."""
  real = side("real", NAMES)
  for count, windows, keys in (
    (5, 1, ["is", "fad_inf"]),
    (4, 2, ["is", "fad_inf", "fd"]),
    (4, 1, ["is", "fad_inf", "fd", "fad"]),
  ):
    names = NAMES[:count]
    warnings = _of(real, side(f"{count}{windows}", names, windows=windows))
    warnings = [w for w in warnings.warnings if not w.startswith("kl")]
    assert {w.partition(":")[0] for w in warnings} == set(keys)
    for warning in _about("fd", warnings):
      assert "4 generated and 30 reference clips in 4 dimensions" in warning


def test_rates_that_differ_and_are_too_low(side):
  real = side("real", NAMES)
  result = _of(real, side("made", NAMES, rates=[44100, 48000]))
  assert result.rates["generated"] == {44100: 15, 48000: 15}
  [warning] = result.warnings
  assert "different sample rates" in warning and "below 7440 Hz" in warning
  differ, low = _of(real, side("low", NAMES, rates=[8000])).warnings
  assert "below 3720 Hz" in differ
  assert "30 clips have sample rates below the 16000 Hz of ours" in low


def test_no_file_is_read_after_the_work(side, tmp_path):
  real, generated = side("real", NAMES), side("made", NAMES, captions=[""])
  before = _of(real, generated)
  for folder in ("real", "made"):
    shutil.rmtree(tmp_path / folder)
  assert _of(real, generated) == before


def test_clips_of_both_sides(side):
  real = side("real", NAMES)
  [warning] = _of(real, real).warnings
  assert "30 of 30 generated clips are also reference clips" in warning


def test_skipped_and_notes_come_from_the_log(side):
  log = clips.Log()
  log.add("x.wav: silent")
  log.notes["y.wav"] |= {"2 channels mixed down"}
  result = _of(side("real", NAMES), side("made", NAMES), log)
  assert result.skipped == ["x.wav: silent"]
  assert result.notes == {"2 channels mixed down": 1}
