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
    found = []
    for i, name in enumerate(names):
      path = tmp_path / folder / f"{name}.wav"
      path.parent.mkdir(exist_ok=True)
      soundfile.write(path, np.full(100, 0.5), rates[i % len(rates)])
      told = captions[i % len(captions)]
      found.append(clips.Clip(path, name, f"{folder}{i}", told))
    features = {"clip": np.zeros(WIDTH), "windows": np.zeros((windows, WIDTH))}
    by_clip = [features] * len(names)
    captions, problems = clips.captions(found)
    return report.Side(
      found,
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
  found = _of(side("real", NAMES), side("made", NAMES))
  assert not found.warnings
  assert found.pairs == 30
  assert found.rates == {"generated": {16000: 30}, "reference": {16000: 30}}


def test_why_kl_is_missing_and_of_how_many_pairs_it_is(side):
  real = side("real", NAMES)
  found = _of(real, side("made", [f"x{name}" for name in NAMES]))
  assert found.pairs == 0
  [told] = _about("kl", found.warnings)
  assert "missing" in told and "'x00'" in told and "'00'" in told
  found = _of(real, side("made", [*NAMES[:25], "x"]))
  assert found.pairs == 25
  [told] = _about("kl", found.warnings)
  assert "25 pairs" in told and "1 of 26" in told


def test_why_clap_is_missing_and_of_how_many_clips_it_is(side, tmp_path):
  real = side("real", NAMES)
  [told] = _about("clap", _of(real, side("a", NAMES, captions=[""])).warnings)
  assert "missing for generated" in told and '"prompt"' in told
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
    for told in _about("fd", warnings):
      assert "4 generated and 30 reference clips in 4 dimensions" in told


def test_rates_that_differ_and_are_too_low(side):
  real = side("real", NAMES)
  found = _of(real, side("made", NAMES, rates=[44100, 48000]))
  assert found.rates["generated"] == {44100: 15, 48000: 15}
  [told] = found.warnings
  assert "several sample rates" in told and "below 7440 Hz" in told
  differ, low = _of(real, side("low", NAMES, rates=[8000])).warnings
  assert "below 3720 Hz" in differ
  assert "30 clips are below the 16000 Hz of ours" in low


def test_no_file_is_read_after_the_work(side, tmp_path):
  real, made = side("real", NAMES), side("made", NAMES, captions=[""])
  before = _of(real, made)
  for folder in ("real", "made"):
    shutil.rmtree(tmp_path / folder)
  assert _of(real, made) == before


def test_clips_of_both_sides(side):
  real = side("real", NAMES)
  [told] = _of(real, real).warnings
  assert "30 of 30 generated clips are files of the reference" in told


def test_skipped_and_notes_come_from_the_log(side):
  log = clips.Log()
  log.add("x.wav: silent")
  log.notes["y.wav"] |= {"2 channels mixed down"}
  found = _of(side("real", NAMES), side("made", NAMES), log)
  assert found.skipped == ["x.wav: silent"]
  assert found.notes == {"2 channels mixed down": 1}
