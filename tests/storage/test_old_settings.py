"""Configs from before `execution` are read as configs of now."""

import dataclasses

import pytest

from siren_jax.common.errors import UserError
from siren_jax.experts.execution import ExecutionChanges
from siren_jax.storage import old_settings, run_config


def test_settings_of_execution_leave_the_experts():
  saved = {
    "experts": {"dim": 8, "dtype": "bfloat16", "remat": True},
    "execution": {"dtype": "float32", "expert_loop": "map"},
  }
  assert old_settings.old_names(saved) == ["experts.dtype", "experts.remat"]
  now = old_settings.renamed(saved)
  assert now == {
    "experts": {"dim": 8},
    "execution": {"dtype": "bfloat16", "remat": True, "expert_loop": "map"},
  }
  assert old_settings.renamed(now) == now
  assert saved["experts"]["dtype"] == "bfloat16", "what is given is not changed"


def test_other_configs_stay_as_they_are():
  for saved in ({"codec": {"dtype": 1}}, {"experts": 3}, {"experts": {}}):
    assert old_settings.renamed(saved) == saved
    assert old_settings.old_names(saved) == []


def test_an_older_run_resumes(tmp_path):
  sizes = {"dim": 8, "heads": 2}
  how = {
    "dtype": "bfloat16",
    "scan_layers": True,
    "remat": True,
    "expert_loop": "auto",
  }
  run_config.record(tmp_path, {"experts": sizes | how}, resumed=False)
  now = {"experts": sizes, "execution": how}
  assert run_config.record(tmp_path, now, resumed=True) == ""
  now["execution"] = how | {"remat": False, "expert_loop": "map"}
  notes = run_config.record(tmp_path, now, resumed=True)
  assert notes == (
    "resumed with execution.expert_loop='map' (was 'auto'),"
    " execution.remat=False (was True)"
  )
  now["execution"] = how | {"dtype": "float32"}
  with pytest.raises(UserError, match="execution.dtype='float32'"):
    run_config.record(tmp_path, now, resumed=True)


def test_an_older_alignment_resumes(tmp_path):
  saved = {"kind": "align", "alignment": {"seconds": 1.0}}
  run_config.record(tmp_path, saved, resumed=False)
  now = saved | {"execution": dataclasses.asdict(ExecutionChanges())}
  assert run_config.record(tmp_path, now, resumed=True) == ""


def test_what_came_later_is_as_runs_did_before():
  codec = {"kind": "spectral", "bands": 64}
  now = old_settings.completed({"codec": codec, "loss": {"swing": 5.0}})
  assert now["codec"] == {**codec, "voices": 0, "beam": 1}
  assert now["loss"]["loudness"] == 0.0 and now["loss"]["swing"] == 5.0
  assert old_settings.completed(now) == now
  varied = {"data": {"path": "x", "augment": {"mix_db": [0, 0]}}}
  augment = old_settings.completed(varied)["data"]["augment"]
  assert augment == {"mix_db": [0, 0], "equalizer_db": 0.0}
  assert varied["data"]["augment"] == {"mix_db": [0, 0]}  # itself unchanged
  clap = old_settings.completed({"loss": {"lock_text": True}})
  assert clap["loss"] == {"lock_text": True, "clip_classes": 0.0}
  dac = {"codec": {"kind": "dac", "strides": [2]}}
  assert old_settings.completed(dac) == dac
