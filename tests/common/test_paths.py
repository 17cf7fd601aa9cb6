"""Paths of this machine, and no others."""

import pathlib

import pytest

from siren_jax.common import config, files, paths
from siren_jax.common.errors import UserError
from siren_jax.storage import folders

URLS = (
  "gs://bucket/set",
  "s3://b/w",
  "hf://a/b",
  "https://x.org/y",
  "file:///x",
)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_a_url_is_refused_by_name(url, kind):
  with pytest.raises(UserError, match="object storage.*local folder"):
    paths.local(kind(url))


@pytest.mark.parametrize("path", ["a", "/a/b", "../a:b", "a b", "C:", "x/y:z"])
def test_other_paths_are_left_alone(path):
  assert paths.local(path) == pathlib.Path(path)


def test_nothing_is_written_to_a_url(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for writer in (files.replacing, files.new_folder):
    with pytest.raises(UserError, match="gs:/"):
      with writer(pathlib.Path("gs://bucket/x")):
        pass
  with pytest.raises(UserError, match="gs://"):
    folders.find("gs://bucket/model")
  assert not list(tmp_path.iterdir())


def test_a_url_in_a_config_is_named_by_its_key():
  from siren_jax.experiments.codec import CodecExperiment

  with pytest.raises(UserError, match="config data.start: s3://.*storage"):
    config.from_dict(CodecExperiment, {"data": {"start": "s3://b/codec"}})


URL = pathlib.Path("gs://bucket/x.wav")


def _readers_and_writers():
  """What the Python interface reads and writes, by name."""
  import numpy as np

  from siren_jax.alignment import prompts
  from siren_jax.audio import sound_files
  from siren_jax.cli import outputs
  from siren_jax.common import text
  from siren_jax.data.preparation import audio
  from siren_jax.data.sets import index, reader, schema, writer
  from siren_jax.data.sources import recordings, walk
  from siren_jax.evaluation import cache, clips
  from siren_jax.experiments import config_files
  from siren_jax.storage import lock, tensors
  from siren_jax.training import metrics

  audio_S = np.ones(9, "f4")
  features = schema.audio_features()
  facts = {"prompt": "rain", "sample_rate": 16000}
  two_sounds = audio.AudioConfig(synthetic=2)
  return {
    "data set": lambda: reader.open_source(URL, "train"),
    "splits": lambda: reader.splits(URL),
    "captions": lambda: reader.captions(URL),
    "fingerprint": lambda: index.fingerprint(URL),
    "new data set": lambda: writer.write(URL, features, {}),
    "claim": lambda: writer.claim(URL).__enter__(),
    "prepared": lambda: audio.prepare_audio([], URL, two_sounds),
    "recordings": lambda: recordings.find(URL),
    "walk": lambda: walk.sound_files(URL, [".wav"]),
    "sound": lambda: sound_files.read_audio(URL, 16000),
    "rate": lambda: sound_files.file_rate(URL),
    "made sound": lambda: outputs.write(URL, audio_S, facts, False),
    "unused": lambda: files.unused(URL).__enter__(),
    "text": lambda: text.read_text(URL),
    "JSON": lambda: files.read_json(URL, ""),
    "npz": lambda: files.read_npz(URL, ""),
    "weights": lambda: tensors.read(URL),
    "lock": lambda: lock.exclusive(URL, "x").__enter__(),
    "metrics": lambda: metrics.MetricWriter(URL, 0),
    "clips": lambda: clips.find(URL),
    "results": lambda: cache.Cache(URL),
    "prompts": lambda: prompts.read(URL, "train"),
    "config": lambda: config_files.from_file(URL),
  }


def test_python_refuses_urls_too(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name, use in _readers_and_writers().items():
    with pytest.raises(UserError, match="object storage"):
      use()
    assert not list(tmp_path.iterdir()), name
