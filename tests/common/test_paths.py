"""Paths of this machine, and no others."""

import pathlib

import pytest

from siren_jax.common import config, files, parts, paths
from siren_jax.common.errors import UserError

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
    parts.find("gs://bucket/model")
  assert not list(tmp_path.iterdir())


def test_a_url_in_a_config_is_named_by_its_key():
  from siren_jax.codec.experiment import CodecExperiment

  with pytest.raises(UserError, match="config data.start: s3://.*storage"):
    config.from_dict(CodecExperiment, {"data": {"start": "s3://b/codec"}})
