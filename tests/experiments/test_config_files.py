"""Config files and overrides to experiments."""

import pathlib

import pytest

from siren_jax.common.errors import UserError
from siren_jax.experiments import config_files
from siren_jax.storage import folders

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
TINY = str(CONFIGS / "tiny.py")


def test_overrides_take_the_type_of_the_field():
  experiment = config_files.from_file(
    TINY,
    [
      "--config.train.steps=7",
      "--config.optimizer.learning_rate=1",
      "--config.execution.remat=true",
      "--config.experts.ffn_multiplier=1.5",
      "--config.data.path",
      "some/where",
    ],
  )
  assert experiment.train.steps == 7
  assert experiment.optimizer.learning_rate == 1.0
  assert experiment.execution.remat is True
  assert experiment.experts.ffn_multiplier == 1.5
  assert experiment.data.path == "some/where"


@pytest.mark.parametrize(
  ("setting", "value"),
  [
    ("dtype", "bfloat16"),
    ("scan_layers", True),
    ("remat", True),
    ("expert_loop", "map"),
  ],
)
def test_settings_of_execution_are_read_under_their_old_names(
  setting, value, caplog, tmp_path
):
  """Of a flag, and of a config file that sets one."""
  warning = f"config experts.{setting} is now execution.{setting}"
  flag = f"--config.experts.{setting}={value}"
  experiment = config_files.from_file(TINY, [flag])
  assert getattr(experiment.execution, setting) == value
  assert [warning in m for m in caplog.messages] == [True]
  caplog.clear()
  path = tmp_path / "config.py"
  path.write_text(
    f"{pathlib.Path(TINY).read_text()}\n\n_whole = get_config\n\n"
    "def get_config():\n  config = _whole()\n"
    f"  config.experts.{setting} = {value!r}\n  return config\n"
  )
  assert config_files.from_file(str(path)) == experiment
  assert [warning in m for m in caplog.messages] == [True]
  same = config_files.from_file(TINY, [f"--config.execution.{setting}={value}"])
  assert same == experiment


def test_an_alignment_sets_the_execution_of_its_experts():
  path = str(CONFIGS / "tiny_align.py")
  experiment = config_files.from_file(
    path, ["--config.execution.dtype=bfloat16"]
  )
  assert experiment.execution.dtype == "bfloat16"
  with pytest.raises(UserError, match="unknown config key 'experts'"):
    config_files.from_file(path, ["--config.experts.dtype=bfloat16"])


def test_a_config_that_ships_has_a_name(tmp_path, monkeypatch):
  of_file = config_files.from_file(TINY, ["--config.train.steps=7"])
  monkeypatch.chdir(tmp_path)
  assert config_files.from_file("tiny", ["--config.train.steps=7"]) == of_file
  with pytest.raises(UserError, match="no config file tony; .*nano, .*tiny"):
    config_files.from_file("tony")
  # A file that is there comes first.
  (tmp_path / "tiny").write_text("def get_config():\n  return 3")
  with pytest.raises(UserError):
    config_files.from_file("tiny")


def test_every_config_ships():
  assert {p.name for p in config_files.SHIPPED.glob("*.py")} == {
    p.name for p in CONFIGS.glob("*.py")
  }


def test_no_config_is_named_like_a_bundle():
  """`inspect NAME` takes both."""
  bundles = {p.name for p in folders.SHIPPED.iterdir()}
  assert bundles and not bundles & set(config_files.shipped())


def test_overrides_of_lists():
  path = str(CONFIGS / "tiny_codec.py")
  experiment = config_files.from_file(
    path, ["--config.loss.discriminator_windows=(64,128)"]
  )
  assert experiment.loss.discriminator_windows == (64, 128)


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("--config.trian.steps=7", "did you mean 'train'"),
    ("--config.train.step=7", "did you mean 'steps'"),
    ("--config.train.steps.x=7", "train.steps.x"),
    ("--config.train.steps=many", "many"),
    ("--config.train.steps=0", "at least 1"),
    ("--config.experts.heads=3", "heads=3"),
  ],
)
def test_wrong_overrides_are_refused_before_a_run_begins(
  override, message, user_error, tmp_path
):
  argv = ["train", f"--config={TINY}", f"--workdir={tmp_path / 'w'}"]
  assert message in user_error([*argv, override])
  assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("def get_config(:", "line 1"),
    ("def get_config():\n  return 3", "ConfigDict"),
    (
      "from siren_jax.training import TrainConfig\n"
      "def get_config():\n  return TrainConfig(steps=0)",
      "config.py: train steps=0: must be at least 1$",
    ),
    (
      "from siren_jax.training import TrainConfig\n"
      "def get_config():\n  return TrainConfig(stepps=0)",
      "config.py: .*stepps",
    ),
    (
      "from ml_collections import ConfigDict\n"
      "def get_config():\n  return ConfigDict({'kind': 'opera'})",
      "opera",
    ),
    (
      "from ml_collections import ConfigDict\n"
      "def get_config():\n  return ConfigDict({'kind': 'codec', 'lose': 1})",
      "did you mean 'loss'",
    ),
    *(
      (
        "from ml_collections import ConfigDict\n"
        f"def get_config():\n  return ConfigDict({{'kind': {kind!r},"
        " 'train': {'accumulate': 2}})",
        "accumulate=2: only siren-jax train",
      )
      for kind in ("codec", "clap", "align")
    ),
  ],
)
def test_wrong_config_files(content, message, tmp_path):
  path = tmp_path / "config.py"
  path.write_text(content)
  with pytest.raises(UserError, match=message):
    config_files.from_file(str(path))


def test_a_config_file_that_takes_all_memory_is_not_wrong(tmp_path):
  path = tmp_path / "config.py"
  path.write_text("def get_config(): raise MemoryError('8 TiB')")
  with pytest.raises(MemoryError):
    config_files.from_file(str(path))


def test_no_config_file(user_error, tmp_path):
  argv = ["train", "--config=none.py", f"--workdir={tmp_path}"]
  assert "none.py" in user_error(argv)


def test_verb_refuses_the_config_of_another_one(user_error, tmp_path):
  argv = ["train-codec", f"--config={TINY}", f"--workdir={tmp_path / 'w'}"]
  assert "siren-jax train`" in user_error(argv)
