"""`siren-jax export`, to the authors' format and back, in this process."""

import dataclasses
import json

import numpy as np
import pytest

import siren_jax
from siren_jax.cli.main import main


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
  _run("export", "--experts", "nano-stage1", "--top-k", 9, "--out", out)
  shipped, mine = siren_jax.load("nano-stage1").bundle, siren_jax.load(out)
  assert mine.bundle.max_seconds == shipped.max_seconds
  assert mine.bundle.candidates == shipped.candidates
  assert mine.bundle.sampling == dataclasses.replace(shipped.sampling, top_k=9)
  card = (out / "README.md").read_text()
  assert "ESC-10" in card and "has not said" not in card


def test_what_the_authors_files_do_not_hold_is_refused(
  tiny_bundle, tmp_path, user_error
):
  command = ["export", "--experts", tiny_bundle, "--format", "siren-stage1"]
  told = user_error([*command, "--guidance", "9", "--out", tmp_path / "out"])
  assert "--guidance" in told and not (tmp_path / "out").exists()


def test_imported_experts_need_a_codec(tiny_bundle, tmp_path, user_error):
  theirs, ours = tmp_path / "theirs", tmp_path / "ours"
  source = ["--experts", tiny_bundle]
  _run("export", *source, "--format", "siren-stage1", "--out", theirs)
  _run("import-weights", "siren-stage1", theirs, "--out", ours)
  told = user_error(["export", "--experts", ours, "--out", tmp_path / "out"])
  assert "holds no codec" in told
