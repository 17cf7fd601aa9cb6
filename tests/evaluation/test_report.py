"""Figures of made-up hearings."""

import dataclasses

import numpy as np
import pytest

from siren_jax.audio import sound_files
from siren_jax.common.errors import UserError
from siren_jax.evaluation import clips, report
from siren_jax.evaluation.cache import Cache
from siren_jax.evaluation.scorers import Panel, Scorer

WORDS = {"low": np.array([1.0, 0, 0]), "high": np.array([0, 1.0, 0])}
SCORER = Scorer(
  name="made up",
  sample_rate=16000,
  extract=None,
  fingerprint="",
  shortest=0.1,
  embed_text=lambda texts: np.array([WORDS[text] for text in texts]),
)
PANEL = Panel(SCORER, SCORER, SCORER)


def _features(count=60, noise=0.3, seed=0):
  """Clips of one of two kinds."""
  rng = np.random.default_rng(seed)
  features, captions = [], []
  for i in range(count):
    word = "low" if i % 2 else "high"
    vector = WORDS[word] + noise * rng.normal(size=3)
    features.append(
      {
        "windows": vector + 0.1 * rng.normal(size=(4, 3)),
        "clip": vector,
        "logits": 5 * vector,
        "text_space": vector / np.linalg.norm(vector),
      }
    )
    captions.append(word)
  names = [f"{i:03}" for i in range(count)]
  return report.PanelFeatures(names, features, features, features, captions)


def test_clips_compared_with_themselves_get_perfect_figures():
  same = report.figures(_features(), _features(), PANEL)
  assert list(same) == ["fad", "fad_inf", "fd", "is", "kl", "clap"]
  assert same["fad"].value < 1e-8 and same["fd"].value < 1e-8
  assert same["kl"].value == 0.0
  assert same["clap"].value > 0.8
  for figure in same.values():
    assert figure.clips == 60 and figure.low <= figure.high


def test_worse_clips_are_worse_in_everything():
  reference = _features()
  near = report.figures(reference, _features(noise=0.35, seed=1), PANEL)
  far = report.figures(reference, _features(noise=2.0, seed=1), PANEL)
  for key in ("fad", "fd", "kl"):
    assert far[key].value > near[key].high
  assert far["clap"].value < near["clap"].low


def test_shuffled_pairs_have_a_worse_kl():
  reference, generated = _features(), _features(noise=0.35, seed=1)
  shifted = dataclasses.replace(
    generated, names=generated.names[1:] + generated.names[:1]
  )
  kl = [report.figures(reference, g, PANEL)["kl"] for g in (generated, shifted)]
  assert kl[1].low > kl[0].high


def test_the_order_of_clips_does_not_matter():
  """Inception scores are of parts: of one kind each, they would be one."""
  mixed = _features()
  order = sorted(range(60), key=lambda i: mixed.captions[i])
  ordered = dataclasses.replace(
    mixed, **{f.name: [getattr(mixed, f.name)[i] for i in order]
              for f in dataclasses.fields(mixed)},
  )  # fmt: skip
  scores = [
    report.reference_free(side, PANEL, np.random.default_rng(0))["is"].value
    for side in (mixed, ordered)
  ]
  assert min(scores) > 1.2
  assert abs(scores[0] - scores[1]) < 0.15


def test_without_pairs_or_captions_there_is_no_such_figure():
  generated = dataclasses.replace(
    _features(), names=[f"x{i}" for i in range(60)], captions=[None] * 60
  )
  figures = report.figures(_features(), generated, PANEL)
  assert set(figures) == {"fad", "fad_inf", "fd", "is"}


def test_one_clip_is_too_few():
  with pytest.raises(UserError, match="1 generated clip"):
    report.figures(_features(), _features(1), PANEL)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
  rng = np.random.default_rng(0)
  inside = 0
  for _ in range(100):
    figure = report._mean(rng, rng.normal(1.0, 1.0, 40))
    inside += figure.low <= 1.0 <= figure.high
  assert 85 <= inside <= 99


def test_the_table_and_the_json_show_the_same_figures():
  rows = {"generated (60)": report.figures(_features(), _features(), PANEL)}
  rows["reference (60)"] = report.reference_free(
    _features(), PANEL, np.random.default_rng(0)
  )
  table = report.markdown(rows, report.head(PANEL))
  assert "| clips | fad | fad_inf | fd | is | kl | clap |" in table
  assert "made up, 16000 Hz, torchaudio" in table
  values = report.as_json(rows, report.head(PANEL))
  assert values["kl"] == 0.0
  assert set(values["rows"]["reference (60)"]) == {"is", "clap"}


def _scorer(fingerprint, value, shortest=0.1):
  """Gives one number for everything; all are of one name."""

  def extract(audio_BxS):
    return {
      "clip": np.full((len(audio_BxS), 1), value),
      "text_space": np.full((len(audio_BxS), 1), value),
    }

  return Scorer("clap", 16000, extract, fingerprint, shortest)


def _folder(home, seconds):
  for i, length in enumerate(seconds):
    sound = 0.1 * (i + 1) * np.sin(0.3 * np.arange(round(16000 * length)))
    sound_files.write_audio(home / f"{i}.wav", sound.astype("f4"), 16000)
  return clips.find(home)


def test_scorers_of_one_name_are_not_mixed_up(tmp_path):
  one, two = _scorer("1", 1.0), _scorer("2", 2.0)
  listed = _folder(tmp_path, [0.5, 0.5])
  side = report.extract(
    listed, Panel(one, one, two), Cache(None), lambda _: None, clips.Log()
  )
  assert [x["clip"] for x in side.features.tagger] == [1.0, 1.0]
  assert [x["text_space"] for x in side.features.text] == [2.0, 2.0]


def test_all_figures_are_of_the_clips_that_every_scorer_takes(tmp_path):
  panel = Panel(_scorer("1", 1.0, 0.4), _scorer("2", 2.0), _scorer("3", 3.0))
  listed = _folder(tmp_path, [0.5, 0.2, 0.5])
  log, done = clips.Log(), []
  side = report.extract(listed, panel, Cache(tmp_path / "c"), done.append, log)
  assert side.features.names == ["0", "2"]
  assert len(side.features.windows) == len(side.features.text) == 2
  assert sum(done) == 9
  assert len(log.messages) == 1 and "1.wav" in log.messages[0]
  with pytest.raises(
    UserError, match=r"of 2 clips .*only 1 can be.*1\.wav: 0.2 s"
  ):
    report.extract(listed[:2], panel, Cache(None), done.append, clips.Log())


def test_rates_and_problems_of_captions_come_with_the_clips(tmp_path):
  listed = _folder(tmp_path, [0.5, 0.5, 0.5])
  (tmp_path / "0.json").write_text("{")
  panel, log = Panel(*3 * [_scorer("1", 1.0)]), clips.Log()
  cache = Cache(tmp_path / "c")
  report.extract(listed, panel, cache, lambda _: None, log)
  (tmp_path / "1.wav").unlink()  # What it sounds like is in the cache.
  side = report.extract(listed, panel, cache, lambda _: None, log)
  assert side.features.names == ["0", "2"] and side.rates == [16000, 16000]
  assert len(side.problems) == 1 and "0.json" in side.problems[0]
  assert len(log.messages) == 1 and "1.wav" in log.messages[0]


def test_remarks_are_shown():
  remarks = report.Remarks(
    rates={"generated": {16000: 4, 44100: 2}},
    pairs=3,
    warnings=["fd: of few clips"],
    skipped=[f"{i}.wav: silent" for i in range(5)],
    notes={"2 channels mixed down": 4},
  )
  rows = {"generated (60)": report.means({"mel": np.ones(4)})}
  text = report.markdown(rows, report.head(PANEL), remarks)
  for line in (
    "generated clips: 4 at 16000 Hz, 2 at 44100 Hz",
    "pairs with the same name: 3",
    "read with changes (clips): 2 channels mixed down (4)",
    "skipped (5): 0.wav: silent; 1.wav: silent; 2.wav: silent; and 2 more",
    "warning: fd: of few clips",
  ):
    assert line in text.splitlines()
  values = report.as_json(rows, report.head(PANEL), remarks)
  assert values["pairs"] == 3 and len(values["skipped"]) == 5
  assert values["warnings"] == ["fd: of few clips"]
