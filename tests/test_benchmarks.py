"""Benchmarks: those of an accelerator run, and what others compute is right."""

import json
import pathlib
import sys
import time

import numpy as np
import pytest

from benchmarks import accelerator, filling, long_sounds
from benchmarks.accelerator_parts import EXECUTION, FLAGS, parts
from benchmarks.accelerator_sizes import SIZES
from benchmarks.shapes import SHAPES
from siren_jax.experiments import config_files

TINY = parts(SIZES["tiny"])

# Compiles for a while, says so, waits, and measures from when until when.
GOOD = """
import time
time.sleep(0.2)
print("{}", flush=True)
input()
begin = time.time()
time.sleep(0.3)
print([begin, time.time()].__repr__().join(['{"times": ', "}"]))
"""
BAD = "import sys; print('{}', flush=True); input(); sys.exit('no memory')"
ENDLESS = "import time; time.sleep(600)"


def _run(tmp_path, programs, seconds, second_try=""):
  report = accelerator.Report(tmp_path / "accelerator.json")
  accelerator.Run(
    {name: [sys.executable, "-c", p] for name, p in programs.items()},
    {}, report, time.monotonic() + seconds, 4, second_try,
  )()  # fmt: skip
  return report, json.loads(report.path.read_text())


def test_one_part_measures_at_a_time(tmp_path):
  report, content = _run(tmp_path, dict.fromkeys("abc", GOOD), 60)
  assert content["states"] == dict.fromkeys("abc", "done")
  assert not report.failed
  times = sorted(part["times"] for part in content["parts"].values())
  for (_, end), (begin, _) in zip(times, times[1:], strict=False):
    assert end <= begin


def test_a_failing_part_is_reported_and_the_others_run(tmp_path):
  report, content = _run(tmp_path, {"bad": BAD, "good": GOOD}, 60)
  assert report.failed == ["bad"]
  assert "no memory\nexit code 1" in content["states"]["bad"].replace(
    "\n\n", "\n"
  )
  assert content["states"]["good"] == "done"


def test_a_part_that_fails_is_tried_again_with_other_flags(tmp_path):
  asks = "import os, sys; sys.exit(os.environ['XLA_FLAGS'][-2:] != '=0')"
  _, content = _run(tmp_path, {"part": asks}, 60, "--other=0")
  assert content["states"] == {
    "part": "failed: exit code 1",
    "part, --other=0": "done",
  }


def test_what_has_no_time_is_named(tmp_path):
  begin = time.monotonic()
  report, content = _run(tmp_path, {"endless": ENDLESS, "good": GOOD}, 4)
  assert content["states"] == {
    "good": "done",
    "endless": "left out: no time",
  }
  assert not report.failed
  assert time.monotonic() - begin < 30


@pytest.mark.parametrize(
  ("name", "figure"),
  [
    ("device", "copy_GB_per_s"),
    ("sample batch 1", "share_of_bandwidth"),
    pytest.param("train batch 2", "share_of_peak", marks=pytest.mark.slow),
    pytest.param("codec DAC", "decode batch 1, ms", marks=pytest.mark.slow),
  ],
)
def test_a_part_at_tiny_size(name, figure):
  assert _measure(name)[figure] > 0


@pytest.mark.slow
def test_the_sampler_agrees_with_the_scorer():
  figures = _measure("sampler and scorer float32")
  for guidance in (1, 3):
    assert figures[f"guidance {guidance}, max"] < 1e-4
    assert figures[f"guidance {guidance}, ruled out by the scorer"] == 0
    assert figures[f"guidance {guidance}, most kept"] == 64


def _measure(name):
  first, *others = TINY[name].run()
  figures = {key: value for part in others for key, value in part.items()}
  assert not figures.keys() & first.keys()
  return figures


def test_parts_of_the_full_size():
  full = parts(SIZES["full"])
  assert full.keys() >= {f"sample batch {b}" for b in (1, 8, 32, 128)}
  assert {f"flags {name}" for name in FLAGS} <= full.keys()
  configs = pathlib.Path(__file__).parents[1] / "configs"
  paper = config_files.from_file(configs / "siren_1_6b.py")
  assert SHAPES["siren_1_6b"] == paper.experts
  assert EXECUTION == paper.execution


def test_the_largest_change_at_a_seam_is_measured():
  rng = np.random.default_rng(0)
  rate, hop, seam = 16000, 640, 60
  audio_S = 0.01 * rng.normal(size=120 * hop).astype(np.float32)
  audio_S[seam * hop :] *= 10
  changes = long_sounds.changes(audio_S, rate, hop)
  assert len(changes) == 3
  for change_T in changes.values():
    assert np.isnan(change_T[[0, 24, 95, 119]]).all()
    assert np.nanargmax(change_T) == seam


def test_the_fill_is_chosen_by_what_follows_and_by_words():
  likelihood_GxI = np.array([[-3, -1], [-2, -9], [-5, -1], [-4, -4]], float)
  fills = filling.Fills(
    np.zeros((4, 0)), likelihood_GxI, np.array([0, 1, 0, 9])
  )
  distance_G = np.array([10.0, 20.0, 30.0, 40.0])
  one, two = (filling.chosen(fills, distance_G, 4, i, 0) for i in (1, 2))
  assert (one, two) == (20, 10)
  assert filling.chosen(fills, distance_G, 4, 2, 5) == 40  # as CLAP says
  assert filling.chosen(fills, distance_G, 2, 2, 0) == (10 + 30) / 2
  assert filling.chosen(fills, distance_G, 1, 2, 0) == 25
