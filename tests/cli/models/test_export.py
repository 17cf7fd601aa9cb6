"""`siren-jax export`, to the authors' format and back, in this process."""

import dataclasses
import json
import pathlib
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import siren_jax
from siren_jax.cli.main import main
from siren_jax.data.sets import index
from siren_jax.experiments import config_files, kinds
from siren_jax.sampling import GenerateConfig, SamplingConfig
from siren_jax.storage import checkpoint, run_config
from siren_jax.training import TrainState

ROOT = pathlib.Path(__file__).parents[3]


def _run(*argv):
  assert main([str(a) for a in argv]) == 0


def test_to_the_authors_files_and_back(tiny_bundle, tmp_path, capsys):
  """The bundle that comes back makes the same sound."""
  theirs, ours = tmp_path / "theirs", tmp_path / "ours"
  _run(
    "export", "--experts", tiny_bundle, "--format", "siren-stage1",
    "--out", theirs,
  )  # fmt: skip
  assert "authors' format" in capsys.readouterr().out
  config = json.loads((theirs / "config.json").read_text())
  assert config["n_heads"] and config["dac_code_dim"]
  _run("import-weights", "siren-stage1", theirs, "--out", ours)
  parts = ["--codec", tiny_bundle, "--clap", tiny_bundle]
  _run("export", "--experts", ours, *parts, "--out", tmp_path / "again")
  before, after = (
    siren_jax.load(folder).generate("rain", 0.2, key=3)
    for folder in (tiny_bundle, tmp_path / "again")
  )
  np.testing.assert_allclose(after, before, atol=1e-6)
  assert siren_jax.load(tmp_path / "again").bundle.name == "again"


@pytest.mark.parametrize("form", ["bundle", "siren-stage1"])
def test_nothing_is_overwritten_or_half_written(
  form, tiny_bundle, tmp_path, user_error
):
  (tmp_path / "full").mkdir()
  (tmp_path / "full" / "mine.txt").write_text("mine")
  command = ["export", "--format", form, "--experts", tiny_bundle]
  assert "exists" in user_error([*command, "--out", tmp_path / "full"])
  assert len(list(tmp_path.iterdir())) == 1
  command = ["export", "--format", form, "--experts", tmp_path / "full"]
  assert "config.json" in user_error([*command, "--out", tmp_path / "new"])
  assert len(list(tmp_path.iterdir())) == 1


def test_a_bundle_keeps_its_settings_and_notes(tmp_path):
  """All but what was asked to be otherwise."""
  out = tmp_path / "mine"
  _run("export", "--experts", "siren-small", "--top-k", 9, "--out", out)
  shipped, mine = siren_jax.load("siren-small").bundle, siren_jax.load(out)
  assert mine.bundle.max_seconds == shipped.max_seconds
  assert mine.bundle.candidates == shipped.candidates
  assert mine.bundle.sampling == dataclasses.replace(shipped.sampling, top_k=9)
  card = (out / "README.md").read_text()
  assert "ESC-10" in card and "has not said" not in card


def test_what_the_authors_files_do_not_hold_is_refused(
  tiny_bundle, tmp_path, user_error
):
  command = ["export", "--experts", tiny_bundle, "--format", "siren-stage1"]
  message = user_error([*command, "--guidance", "9", "--out", tmp_path / "out"])
  assert "--guidance" in message and not (tmp_path / "out").exists()


def test_imported_experts_need_a_codec(tiny_bundle, tmp_path, user_error):
  theirs, ours = tmp_path / "theirs", tmp_path / "ours"
  source = ["--experts", tiny_bundle]
  _run("export", *source, "--format", "siren-stage1", "--out", theirs)
  _run("import-weights", "siren-stage1", theirs, "--out", ours)
  message = user_error(["export", "--experts", ours, "--out", tmp_path / "out"])
  assert "holds no codec" in message


@pytest.fixture
def trained(tiny_bundle, tiny_model, tmp_path):
  """Work directory of experts, beside the code set they were trained on."""
  codes = shutil.copytree(tiny_bundle, tmp_path / "codes")
  return _trained(tiny_model, tmp_path / "experts", path=codes), codes


def _trained(tiny_model, workdir, **inputs):
  experiment = config_files.from_file(
    str(ROOT / "configs" / "tiny.py"),
    [f"--config.data.{name}={path}" for name, path in inputs.items()],
  )
  fingerprints = {f"data.{n}": index.fingerprint(p) for n, p in inputs.items()}
  config = kinds.to_json(experiment) | {run_config.INPUTS: fingerprints}
  params = dict(tiny_model.params)
  state = TrainState(
    step=np.int32(4),
    params=params.pop("params"),
    opt_state={"none": np.zeros(1)},
    extra=params,
  )
  with checkpoint.Checkpoints(workdir) as checkpoints:
    checkpoints.save(4, state, {}, config)
  run_config.record(workdir, config, resumed=False)
  return workdir


def test_a_codec_that_took_the_place_of_the_runs_is_refused(
  trained, tiny_bundle, tmp_path, user_error, capsys
):
  workdir, codes = trained
  _run("export", "--experts", workdir, "--out", tmp_path / "good")
  tensors = load_file(codes / "codec.safetensors")
  name = next(n for n in tensors if n.startswith("decoder"))
  save_file(tensors | {name: tensors[name] + 1}, codes / "codec.safetensors")
  command = ["export", "--experts", workdir, "--out", tmp_path / "bad"]
  message = user_error(command)
  assert f"{codes} has changed" in message
  assert "--codec and --clap" in message and not (tmp_path / "bad").exists()
  own = ["--codec", tiny_bundle, "--clap", tiny_bundle]
  _run(*command, *own)


def test_only_what_is_used_is_checked(
  tiny_model, tiny_bundle, tmp_path, user_error, caplog
):
  """Of a code set whose run had another codec: its CLAP, or else nothing."""
  inputs = {
    name: shutil.copytree(tiny_bundle, tmp_path / name)
    for name in ("path", "codec")
  }
  workdir = _trained(tiny_model, tmp_path / "experts", **inputs)
  shutil.rmtree(inputs["path"])
  command = ["export", "--experts", workdir, "--out"]
  assert str(inputs["path"]) in user_error([*command, tmp_path / "bad"])
  _run(*command, tmp_path / "good", "--clap", tiny_bundle)
  config = json.loads((workdir / "config.json").read_text())
  del config[run_config.INPUTS]["data.codec"]
  (workdir / "config.json").write_text(json.dumps(config))
  _run(*command, tmp_path / "old", "--clap", tiny_bundle)
  assert f"kept no fingerprint of {inputs['codec']}" in caplog.text


def test_a_run_without_fingerprints_is_exported_with_a_note(
  trained, tmp_path, caplog
):
  workdir, _ = trained
  path = workdir / "config.json"
  values = json.loads(path.read_text())
  values.pop("inputs")
  path.write_text(json.dumps(values))
  _run("export", "--experts", workdir, "--out", tmp_path / "old")
  assert "kept no fingerprint" in caplog.text


def test_a_run_sets_the_sampling_of_its_model(
  tiny_model, tiny_bundle, tmp_path
):
  """Flags come first; a run of before that said so is as it was."""
  run = config_files.from_file(str(ROOT / "configs" / "tiny.py"))
  generate = GenerateConfig(SamplingConfig(0.9, top_k=7, guidance=3.0), 4, 1.5)
  parts = ["--codec", tiny_bundle, "--clap", tiny_bundle]
  params = dict(tiny_model.params)
  state = TrainState(jnp.array(1), params.pop("params"), None, params, ema=None)
  for name, values in (
    ("new", kinds.to_json(dataclasses.replace(run, generate=generate))),
    ("old", kinds.to_json(run)),
  ):
    if name == "old":
      del values["generate"]
    with checkpoint.Checkpoints(tmp_path / name) as checkpoints:
      checkpoints.save(1, state, {}, values)
      checkpoints.wait()
    out = tmp_path / f"{name}-model"
    _run(
      "export", "--experts", tmp_path / name, *parts, "--out", out,
      "--temperature", 0.8,
    )  # fmt: skip
    model = siren_jax.load(out).bundle
    wanted = generate if name == "new" else GenerateConfig()
    assert model.candidates == wanted.candidates
    assert model.max_seconds == wanted.max_seconds
    assert model.sampling == dataclasses.replace(
      wanted.sampling, temperature=0.8
    )


def test_the_config_of_the_shipped_model_sets_its_sampling():
  run = config_files.from_file(str(ROOT / "configs" / "small.py"))
  shipped = siren_jax.load("siren-small").bundle
  assert run.generate == GenerateConfig(
    shipped.sampling, shipped.candidates, shipped.max_seconds
  )


def test_notes_that_are_no_text_are_refused(tiny_bundle, tmp_path, user_error):
  (tmp_path / "notes.md").write_bytes(b"caf\xe9")
  message = user_error(
    ["export", "--experts", tiny_bundle, "--out", tmp_path / "out", "--notes",
     tmp_path / "notes.md"]
  )  # fmt: skip
  assert "notes.md:1: not UTF-8" in message and not (tmp_path / "out").exists()
