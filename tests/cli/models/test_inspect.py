"""`siren-jax inspect` of configs by their names; of others: test_end_to_end."""

import pathlib

import pytest

from siren_jax.cli.main import main

CONFIGS = pathlib.Path(__file__).parents[3] / "configs"


@pytest.fixture
def inspect(capsys):
  def inspect(target):
    assert main(["inspect", str(target)]) == 0
    return capsys.readouterr().out

  return inspect


def test_a_config_is_inspected_by_its_name(inspect):
  shown = inspect("tiny")
  assert shown.startswith("experts: ExpertConfig(dim=16")
  assert shown == inspect(CONFIGS / "tiny.py")


def test_a_folder_of_that_name_comes_first(
  inspect, tiny_bundle, tmp_path, monkeypatch
):
  (tmp_path / "tiny").symlink_to(tiny_bundle)
  monkeypatch.chdir(tmp_path)
  assert inspect("tiny").startswith("tiny: 16000 Hz")


def test_an_unknown_name_is_reported(user_error):
  assert "no model 'huge'" in user_error(["inspect", "huge"])
