"""`siren-jax import-weights`, in this process."""

import pathlib
import shutil

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import errors

from siren_jax import codec
from siren_jax.cli.main import main

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "dac"


@pytest.mark.parametrize("publisher", ["hugging_face", "descript"])
def test_an_imported_dac_gives_the_published_codes(publisher, tmp_path, capsys):
  out = tmp_path / "dac"
  source = str(FIXTURES / publisher)
  assert main(["import-weights", "dac", source, "--out", str(out)]) == 0
  assert "try next" in capsys.readouterr().out
  theirs = np.load(FIXTURES / publisher / "expected.npz")
  imported = codec.load(out)
  np.testing.assert_array_equal(
    imported.encode(theirs["audio"]), theirs["codes"]
  )


def test_import_stops_before_it_writes(tmp_path, user_error):
  source = shutil.copytree(FIXTURES / "descript", tmp_path / "source")
  (source / "weights.safetensors").write_bytes(b"broken")
  out = tmp_path / "out"
  message = user_error(["import-weights", "dac", source, "--out", out])
  assert "safetensors" in message and not out.exists()
  message = user_error(["import-weights", "clap", source, "--out", out])
  assert "config.json" in message and not out.exists()
  pickled = tmp_path / "vggish.pth"
  pickled.write_bytes(b"no pickle")
  message = user_error(["import-weights", "vggish", pickled, "--out", out])
  assert "torch" in message and not out.exists()


def test_weights_come_from_the_hub(tmp_path, monkeypatch, user_error):
  def download(name, revision, allow_patterns):
    if (name, revision) != ("descript/dac_16khz", None):
      raise errors.LocalEntryNotFoundError("offline")
    assert "*.safetensors" in allow_patterns
    return str(FIXTURES / "hugging_face")

  monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
  command = ["import-weights", "dac"]
  source, out = "hub:descript/dac_16khz", tmp_path / "out"
  assert main([*command, source, "--out", str(out)]) == 0
  assert codec.load(out).config.kind == "dac"
  no = ["--out", tmp_path / "no"]
  assert "cannot be reached" in user_error([*command, "hub:no/such", *no])
  message = user_error([*command, f"from_{source}", *no])
  assert message.endswith(f"write {source}")


def test_a_folder_without_a_model_is_refused(tmp_path, user_error):
  (tmp_path / "empty").mkdir()
  assert "empty: no model in it" in user_error(["inspect", tmp_path / "empty"])
