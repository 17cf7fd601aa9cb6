"""Who is the same scorer, and that sample rates do not move its figures."""

import dataclasses

import jax
import numpy as np
import pytest

from siren_jax import clap
from siren_jax.audio import sound_files
from siren_jax.clap import tokenizer
from siren_jax.data.captions import phrasebook
from siren_jax.evaluation import (
  clips,
  divergence,
  frechet,
  report,
  scorers,
)
from siren_jax.storage import components, folders


def _save(folder, model):
  """A folder that holds this CLAP."""
  components.save(folder, "clap", model.config, model.params)
  model.tokenizer.save(str(folder / "tokenizer.json"))
  return folder


def _other_weights(model):
  params = jax.tree.map(lambda x: 0.9 * x, model.params)
  return dataclasses.replace(model, params=params)


def test_one_clap_in_two_roles_is_two_scorers(tiny_model, tmp_path):
  """Of other embeddings, by other resamplers."""
  folder = _save(tmp_path / "clap", tiny_model.clap)
  panel = scorers.panel(tiny_model.clap, "tiny", clap_folder=folder)
  assert panel.windows.fingerprint != panel.text.fingerprint
  assert panel.scorers == (panel.windows, panel.text)
  same = scorers.of_clap(folder)
  assert same.fingerprint == panel.text.fingerprint


def test_folders_of_one_name_are_scorers_of_their_own(tiny_model, tmp_path):
  places = [
    scorers.of_clap(_save(tmp_path / home / "clap", model))
    for home, model in (
      ("a", tiny_model.clap),
      ("b", _other_weights(tiny_model.clap)),
    )
  ]
  assert places[0].name == places[1].name
  panel = scorers.Panel(places[0], places[0], places[1])
  assert panel.scorers == tuple(places)


def test_everything_that_a_result_depends_on(tiny_model, monkeypatch):
  model = tiny_model.clap

  def fingerprint(model):
    return scorers.clap_for_all_roles(model, "tiny").fingerprint

  words = tokenizer.train(["a dog", "rain"], model.config.text.vocab_size)
  fingerprints = [
    fingerprint(model),
    fingerprint(_other_weights(model)),
    fingerprint(dataclasses.replace(model, tokenizer=words)),
  ]
  with monkeypatch.context() as patch:
    patch.setattr(phrasebook, "categories", lambda: ("dog", "rain"))
    fingerprints.append(fingerprint(model))
  for name, value in (
    ("_VERSION", -1),
    ("_SHARPNESS", 1.0),
    ("_WINDOW_SECONDS", 0.5),
  ):
    with monkeypatch.context() as patch:
      patch.setattr(scorers, name, value)
      fingerprints.append(fingerprint(model))
  for module, name in (
    (jax, "__version__"),
    (scorers.soxr, "__version__"),
    (scorers.soundfile, "__libsndfile_version__"),
    (scorers.siren_jax, "__version__"),
  ):
    with monkeypatch.context() as patch:
      patch.setattr(module, name, "another")
      fingerprints.append(fingerprint(model))
  assert len(set(fingerprints)) == len(fingerprints)
  assert fingerprint(model) == fingerprints[0]


def _band_limited(seed, sample_rate):
  """A second of noise below 7 kHz, the same at every rate."""
  rng = np.random.default_rng(seed)
  time = np.arange(sample_rate) / sample_rate
  hz = np.exp(rng.uniform(np.log(60), np.log(7000), 60))
  level, phase = rng.uniform(0.2, 1, (2, 60))
  tones = np.sin(2 * np.pi * (hz * time[:, None] + phase)) @ level
  swell = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.5, 4) * time)
  edges = np.clip(50 * np.minimum(time, 1 - time), 0, 1)
  sound = tones * swell * np.sin(np.pi / 2 * edges) ** 2
  return (0.5 * sound / np.abs(sound).max()).astype("f4")


@pytest.fixture(scope="module")
def small():
  return scorers.panel(clap.load(folders.find("siren-small")), "small")


def test_rates_agree_to_three_digits(small, tmp_path):
  """The same sound at 16, 44.1 and 48 kHz, against others at 16 kHz."""
  scorer = small.windows

  def extract(rate, first):
    folder = tmp_path / f"{rate}-{first}"
    for i in range(clips.BATCH):
      sound = _band_limited(first + i, rate)
      sound_files.write_audio(folder / f"{i:02}.wav", sound, rate)
    return clips.extract(clips.find(folder), scorer)

  real = extract(16000, 100)
  figures = []
  for rate in (16000, 44100, 48000):
    ours = extract(rate, 0)
    distances = [
      frechet.frechet_distance(*(report.rows_of(x, key) for x in (real, ours)))
      for key in ("windows", "clip")
    ]
    probs = (
      divergence.probabilities(report.rows_of(x, "logits"))
      for x in (real, ours)
    )
    figures.append([*distances, divergence.kl_divergence(*probs).mean()])
  for other in figures[1:]:
    np.testing.assert_allclose(other, figures[0], rtol=2e-3)
