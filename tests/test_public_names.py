"""Names that programs, scripts and config files of users may hold.

None goes: it is kept, or an alias that warns takes its place.
"""

import argparse
import importlib
import json
import pathlib
import warnings

import pytest

import siren_jax as sj
from siren_jax.cli import main
from siren_jax.experiments import config_files, kinds

ROOT = pathlib.Path(__file__).parents[1]

NAMES = {
  "siren_jax": "ExpertConfig MeshConfig SamplingConfig Siren UserError load",
  "siren_jax.alignment": "Rollout",
  "siren_jax.clap": "Clap encode_audio encode_text load",
  "siren_jax.codec": "Codec decode encode load",
  "siren_jax.experts": "ExpertConfig init logits loss",
  "siren_jax.sampling": "SamplingConfig generate",
  "siren_jax.weights.bundle": "Bundle load save",
  "siren_jax.weights.siren_stage1": "load save",
}
METHODS = (
  "generate clips sounds encode decode sample_rate sampling_config"
  " num_candidates closest expanded"
)
_TRAINING = "--config --workdir --distributed"
VERBS = {
  "generate": "prompts --prompts --seconds --seed --num-samples --sample"
  " --candidates --temperature --top-k --top-p --guidance --loudness --out"
  " --spectrogram --model --mesh --batch-size --no-expand",
  "kinds": "words --group --model --json",
  "prepare-data": "sources --manifest --out --overwrite --seconds --seed"
  " --synthetic --mixtures --validation-fold --max-seconds --sample-rate"
  " --captions --strict --codec --clap --views --batch-records"
  " --batch-captions",
  "train-codec": _TRAINING,
  "train-clap": _TRAINING,
  "train": _TRAINING,
  "align": f"{_TRAINING} --name --notes",
  "compile-check": "--config --topology --task --dtype --batch --frames"
  " --effort",
  "evaluate": "--generated --reference --prompts --paired --model --seconds"
  " --seed --vggish --cnn14 --clap --cache --json --markdown --batch-clips"
  " --batch-seconds --batch-texts",
  "import-weights": "kind source --out",
  "export": "--experts --format --codec --clap --name --out --notes"
  " --max-seconds --candidates --temperature --top-k --top-p --guidance"
  " --manifest --validation-fold --far-threshold --quality",
  "average": "models --start --share --name --out",
  "encode": "audio --out --model",
  "decode": "codes --out --model",
  "inspect": "target --full",
}
# Every key of a config of each kind, with a value of its own.
CONFIG_KEYS = json.loads(
  (ROOT / "tests" / "fixtures" / "config_keys.json").read_text()
)


@pytest.mark.parametrize("module", NAMES)
def test_a_public_name_is_where_it_was(module):
  names = NAMES[module].split()
  assert set(names) <= set(dir(importlib.import_module(module)))
  for name in names:
    assert getattr(importlib.import_module(module), name) is not None


def test_the_methods_of_siren_are_there():
  assert set(METHODS.split()) <= set(dir(sj.Siren))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_the_arguments_that_it_took(verb):
  module = importlib.import_module(
    f"siren_jax.cli.{main.VERBS[verb]}.{verb.replace('-', '_')}"
  )
  parser = argparse.ArgumentParser(add_help=False)
  module.add_arguments(parser)
  arguments = {
    name
    for action in parser._actions
    for name in (action.option_strings or [action.dest])
  }
  assert set(VERBS[verb].split()) <= arguments


def _overrides(values):
  """`--config.KEY=VALUE` of all that is not None, whose text is not None's."""
  for key, value in values.items():
    if value is not None:
      text = tuple(value) if isinstance(value, list) else value
      yield f"--config.{key}={text}"


@pytest.mark.parametrize("name", CONFIG_KEYS)
def test_a_config_has_the_keys_that_it_had(name):
  path = str(ROOT / "configs" / f"{name}.py")
  values = CONFIG_KEYS[name]
  with warnings.catch_warnings():  # An old key may say that it is one.
    warnings.simplefilter("ignore", DeprecationWarning)
    experiment = config_files.from_file(path, list(_overrides(values)))
  saved = kinds.to_json(experiment)
  for key in (key for key, value in values.items() if value is None):
    section = saved
    for part in key.split("."):
      assert part in section, key
      section = section[part]


def test_config_files_of_before_import_the_same_function():
  with pytest.warns(DeprecationWarning, match="config_files") as record:
    from siren_jax.cli.experiments import to_config_dict
  assert to_config_dict is config_files.to_config_dict and len(record) == 1
  old = importlib.import_module("siren_jax.cli.experiments")
  with pytest.raises(AttributeError, match="nothing"):
    _ = old.nothing


@pytest.mark.parametrize("name", ["from_file", "KINDS", "kind_of", "to_json"])
def test_other_names_of_before_are_the_same(name):
  old = importlib.import_module("siren_jax.cli.experiments")
  home = config_files if name == "from_file" else kinds
  with pytest.warns(DeprecationWarning, match=name):
    assert getattr(old, name) is getattr(home, name)


CONFIG_FILE_OF_BEFORE = """
from siren_jax.cli.experiments import to_config_dict
from siren_jax.{package}.experiment import {name}
from siren_jax.experts import ExpertConfig

def get_config():
  return to_config_dict({name}({arguments}))
"""
EXPERTS = (
  "experts=ExpertConfig(dim=16, heads=2, kv_heads=1, temporal_layers=1,"
  " depth_layers=1, prompt_dim=16, feature_dim=16)"
)


@pytest.mark.parametrize(
  ("package", "home", "name", "others"),
  [
    ("codec", "codec", "CodecExperiment", "CodecDataConfig build start_of"),
    ("clap", "clap", "ClapExperiment", "Batches ClapDataConfig Labels build"),
    (
      "experts",
      "stage1",
      "Stage1Experiment",
      "Stage1DataConfig build check_tables start_of task_of",
    ),
    ("alignment", "align", "AlignExperiment", "AlignDataConfig build"),
  ],
)
def test_a_config_file_of_before_is_read(package, home, name, others, tmp_path):
  path = tmp_path / "config.py"
  path.write_text(
    CONFIG_FILE_OF_BEFORE.format(
      package=package,
      name=name,
      arguments=EXPERTS if package == "experts" else "",
    )
  )
  old = importlib.import_module(f"siren_jax.{package}.experiment")
  new = importlib.import_module(f"siren_jax.experiments.{home}")
  with pytest.warns(DeprecationWarning, match=rf"{new.__name__}\.{name} now"):
    experiment = config_files.from_file(str(path), ["--config.train.steps=7"])
  assert type(experiment) is getattr(new, name) and experiment.train.steps == 7
  for other in others.split():
    with pytest.warns(DeprecationWarning, match=other) as record:
      assert getattr(old, other) is getattr(new, other)
    assert len(record) == 1
  with pytest.raises(AttributeError, match="nothing"):
    _ = old.nothing


def test_execution_settings_of_experts_in_python_are_refused(tmp_path):
  path = tmp_path / "config.py"
  path.write_text(
    CONFIG_FILE_OF_BEFORE.format(
      package="experts",
      name="Stage1Experiment",
      arguments="experts=ExpertConfig(dtype='bfloat16')",
    )
  )
  with pytest.raises(sj.UserError, match=r"Execution\(dtype='bfloat16'\)"):
    config_files.from_file(str(path))
