"""Benchmarks of kinds of sound: the judge, codecs, generated sounds."""

import argparse
import csv
import json
import pathlib

import numpy as np
import pytest

from benchmarks import codec, judge, judge_features, kinds, pairs
from benchmarks.quality import RATE
from siren_jax.audio.sound_files import write_audio
from siren_jax.data.captions import phrasebook
from siren_jax.weights import bundle

KINDS = ("dog bark", "rain", "clock tick")


def _clip(kind: str, rng: np.random.Generator) -> np.ndarray:
  """Bursts of a tone, noise, or clicks; another level each time."""
  t_S = np.arange(2 * RATE) / RATE
  noise_S = rng.normal(size=t_S.size)
  audio_S = {
    "dog bark": (np.sin(2 * np.pi * rng.uniform(380, 420) * t_S))
    * (t_S % 0.5 < 0.2),
    "rain": noise_S,
    "clock tick": noise_S * (t_S % 0.25 < 0.005),
  }[kind]
  audio_S = audio_S / np.abs(audio_S).max() + 1e-4 * noise_S
  return (rng.uniform(0.05, 0.9) * audio_S).astype(np.float32)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
  folder = tmp_path_factory.mktemp("clips")
  rng = np.random.default_rng(0)
  with (folder / "manifest.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(("file", "category", "fold"))
    for fold in "1234":
      for kind in KINDS:
        name = f"{kind}-{fold}.wav"
        write_audio(folder / name, _clip(kind, rng), RATE)
        writer.writerow((name, kind, fold))
  return folder / "manifest.csv"


def test_the_judge_names_what_it_never_learned_from(manifest, tmp_path):
  recordings = judge.Recordings.of([manifest])
  held = recordings.folds == "4"
  for _ in range(2):  # the second from the cache
    machine = judge.Judge(recordings[~held], tmp_path / "cache")
    ranks = machine.ranks_of(recordings[held])
    assert judge.shares(ranks) == {"top 1": 1, "top 5": 1, "clips": 3}
  clips = [judge.read(path) for path in recordings[held].paths]
  np.testing.assert_array_equal(
    machine.ranks(clips, recordings.kinds[held]), ranks
  )
  wrong = np.roll(recordings.kinds[held], 1)
  assert judge.shares(machine.ranks(clips, wrong))["top 1"] == 0


def test_neither_level_nor_time_makes_a_difference():
  rng = np.random.default_rng(0)
  clip = np.zeros(5 * RATE, np.float32)
  clip[8000:24000] = _clip("dog bark", rng)[:16000]
  features = judge_features.features(clip)
  quiet = judge_features.features(0.01 * clip)
  later = judge_features.features(np.roll(clip, 160 * 100))
  np.testing.assert_allclose(quiet, features, atol=1e-3)
  assert np.abs(later - features).mean() < 0.02
  other = judge_features.features(_clip("rain", rng))
  assert np.abs(other - features).mean() > 0.2


def test_a_short_clip_comes_again_with_gaps_or_once():
  clip = np.ones(RATE)
  shares = {
    round(judge_features.laid_out(clip, np.random.default_rng(i)).mean(), 2)
    for i in range(9)
  }
  assert 0.2 in shares  # once
  assert max(shares) > 0.35


def test_pitch_errors_are_cents_and_shares_of_frames():
  t_S = np.arange(RATE) / RATE
  note, sharp = (
    np.sin(2 * np.pi * hz * t_S) for hz in (440, 440 * 2 ** (50 / 1200))
  )
  pairs = [(codec.pitch(note), codec.pitch(sharp))]
  assert codec.pitch_errors(pairs)["cents"]["median"] == pytest.approx(
    50, abs=5
  )
  one = np.array([0.0, 10, np.nan, np.nan])
  other = np.array([30.0, np.nan, 5, np.nan])
  table = codec.pitch_errors([(one, other)])
  assert table["cents"] == {"median": 30, "90 %": 30, "n": 1}
  assert table["voicing"] == {"%": 50, "frames": 4}


def test_distances_of_a_clip_and_itself_are_zero():
  clip = _clip("rain", np.random.default_rng(0))[: RATE + 100]
  assert codec.mel_distance(clip, clip) == 0
  assert codec.mel_distance(clip, 0.5 * clip) > 0.2
  short, whole = clip[: RATE // 4], clip[: RATE // 2]
  distances = [codec.mel_distance(x, 0.5 * x) for x in (short, whole)]
  assert distances[0] == pytest.approx(distances[1], rel=0.2)
  assert codec.loudness_error(clip, 0.5 * clip) == pytest.approx(6.02, abs=0.01)
  assert codec.loudness_error(0 * clip, 0 * clip) == 0


def test_kinds_with_withheld_clips_come_first(manifest):
  held = judge.Recordings.of([manifest])
  known = [*phrasebook.categories(), "no kind of the book"]
  few, many = (kinds.chosen_kinds(known, held, n, seed=1) for n in (5, 40))
  assert set(few[:3]) == set(KINDS)
  assert many[:5] == few and len(set(many)) == 40


def test_figures_are_means_over_kinds_and_ratios_of_the_real_ones():
  hit, miss = ({"top 1": x, "top 5": 1.0, "clips": 1} for x in (1.0, 0.0))
  half = {"top 1": 0.5, "top 5": 1.0, "clips": 4}
  table = kinds.figures(
    {
      "real": {"rain": half, "dog bark": hit},
      "plain": {"rain": miss, "dog bark": hit, "wind": miss},
      "free": {"rain": hit, "dog bark": hit, "wind": hit},
    }
  )
  assert table["real"]["all"] == {"top 1": 0.75, "top 5": 1, "clips": 5}
  assert table["plain"]["of real"] == {
    "top 1": pytest.approx(2 / 3),
    "top 5": 1,
  }
  assert table["plain"]["groups"][phrasebook.group("wind")]["top 1"] == 0


def test_prompts_that_speak_of_level_do_not_count_for_loudness():
  sounds = [
    kinds.Wanted("rain", "free", text)
    for text in ("rain", "a farm fan", "Quiet rain", "far away")
  ]
  clips = [np.full(RATE, x) for x in (0.0, 0.0, 0.0, 0.25)]
  for clip in clips[:2]:
    clip[1:-1] = np.sin(np.arange(RATE - 2) / 3) / 2
  signal = kinds.signal(sounds, clips)
  assert signal["LUFS, sounds"] == 2 and signal["LUFS, spread"] == 0
  assert signal["highest constant part"] == 0.25
  assert signal["highest first or last sample"] == 0.25


def test_the_judge_learns_from_other_folds_or_from_the_withheld_one(manifest):
  args = argparse.Namespace(manifest=[manifest], fold="4", cache=None)
  for swap, count in ((False, 3), (True, 9)):
    machine, others = judge.trained(args, swap)
    assert len(others) == count
    assert (others.folds == "4").all() != swap
    assert judge.shares(machine.ranks_of(others))["top 1"] == 1


def test_the_order_of_joined_recordings_is_recognised(manifest):
  args = argparse.Namespace(manifest=[manifest], fold="4", cache=None)
  machine, real = judge.trained(args)
  ordered = pairs.both_ways(pairs.drawn_pairs(pairs.common(real), 3, seed=0))
  assert len(set(ordered)) == 6
  clips = pairs.joined(ordered, real, seed=0)
  assert pairs.in_order(machine, ordered, clips).all()
  reversed_pairs = [(second, first) for first, second in ordered]
  assert not pairs.in_order(machine, reversed_pairs, clips).any()


def test_prompts_of_pairs():
  (sound,) = pairs.prompted([("dog bark", "rain")], ", then ")
  assert sound.prompt == (
    f"{phrasebook.example('dog bark')}, then {phrasebook.example('rain')}"
  )


def test_draws_of_a_prompt_have_keys_of_their_own():
  example, free = phrasebook.example("rain"), "it rains"
  sounds = kinds.wanted(["rain"], draws=2, free={"rain": [free]})
  assert [(s.set, s.prompt, s.draw) for s in sounds] == [
    ("plain", example, 0),
    ("plain", example, 1),
    ("free", free, 0),
    ("free", free, 1),
  ]


def test_sounds_of_a_benchmark_go_by_expanded_prompt_and_draw():
  names = [kinds.file_name(*x) for x in (("a b!", 0), ("a b?", 0), ("a b!", 1))]
  assert len(set(names)) == 3
  assert all(name.startswith("a_b_-") for name in names)


def test_prompts_that_expand_to_the_same_share_a_sound(tmp_path, monkeypatch):
  generated = []

  class Fake:
    sample_rate = RATE

    def expanded(self, prompt):
      return prompt.removeprefix("odd ")

    def generate(self, prompt, seconds, key, **settings):
      generated.append((prompt, key))
      return np.zeros((1, RATE), np.float32)

  monkeypatch.setattr(kinds.siren_jax, "load", lambda *_, **__: Fake())
  args = argparse.Namespace(
    model=None, settings="{}", candidates=None, seed=7, out=tmp_path,
    no_expand=False,
  )  # fmt: skip
  sounds = [
    kinds.Wanted("rain", "free", text, draw)
    for text in ("rain", "odd rain", "wind")
    for draw in (0, 1)
  ]
  for _ in range(2):  # the second time, nothing is generated
    paths = kinds.make(sounds, args)
    assert paths[:2] == paths[2:4] != paths[4:]
    assert all(path.exists() for path in paths)
    assert generated == [("rain", 7), ("rain", 8), ("wind", 7), ("wind", 8)]


def test_free_phrasings_are_those_of_the_book_or_of_a_file(tmp_path):
  args = argparse.Namespace(prompts=None, phrasings=2)
  held_out = phrasebook.held_out("rain")[:2]
  assert kinds.phrasings(["rain"], args) == {"rain": list(held_out)}
  args.prompts = tmp_path / "prompts.json"
  args.prompts.write_text('{"rain": ["it rains", "wet", "drops"], "wug": []}')
  assert kinds.phrasings(["rain"], args) == {"rain": ["it rains", "wet"]}


@pytest.mark.parametrize("name", ["natural", "described"])
def test_prompts_of_other_authors_are_of_all_kinds_and_seldom_captions(name):
  file = pathlib.Path(kinds.__file__).parent / "prompts" / f"{name}.json"
  prompts = json.loads(file.read_text())
  known = bundle.load().repertoire
  assert set(prompts) == {kind.name for kind in known.kinds}
  assert {len(set(texts)) for texts in prompts.values()} == {2}
  in_book = [
    phrasebook.normal(text)
    in map(phrasebook.normal, phrasebook.every_phrasing(kind))
    for kind, texts in prompts.items()
    for text in texts
  ]
  assert np.mean(in_book) < 0.04


def test_quality_is_top_5_of_plain_prompts():
  """Without free phrasings, there is nothing to say of them."""
  row = {"top 1": 0.25, "top 5": 0.5, "clips": 4}
  table = kinds.figures({"real": {"rain": row}, "plain": {"rain": row}})
  assert kinds.quality(table) == {"rain": 0.5}
  assert "free" not in table
