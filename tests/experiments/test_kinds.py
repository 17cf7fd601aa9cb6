"""Kinds of experiments: what a work directory keeps, and their sizes."""

import pathlib

import pytest

from siren_jax.experiments import config_files, kinds

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
ALL = sorted(CONFIGS.glob("*.py"))


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_every_config_survives_json(path):
  experiment = config_files.from_file(str(path))
  values = kinds.to_json(experiment)
  assert kinds.from_mapping(values, "test") == experiment


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_the_docstring_of_a_config_has_its_command(path):
  kind = kinds.KINDS[kinds.kind_of(config_files.from_file(str(path)))]
  text = path.read_text()
  assert f"siren-jax {kind.verb} --config=configs/{path.name}" in text


@pytest.mark.parametrize(
  ("name", "millions"), [("siren_1_6b", 273), ("siren_3_1b", 515)]
)
def test_configs_have_the_sizes_of_the_paper(name, millions):
  import jax

  experiment = config_files.from_file(str(CONFIGS / f"{name}.py"))
  shapes = kinds.KINDS["stage1"].shapes(experiment)
  total = sum(x.size for x in jax.tree.leaves(shapes))
  assert round(total / experiment.experts.num_experts / 1e6) == millions
