"""`siren-jax import-weights`, in this process."""

import pathlib
import shutil
import sys
import types

import numpy as np
import pytest

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


class _Hub(types.ModuleType):
  """Stands for huggingface_hub: it knows one name."""

  def __init__(self):
    super().__init__("huggingface_hub")
    self.errors = types.SimpleNamespace(HfHubHTTPError=ConnectionError)

  def snapshot_download(self, name, allow_patterns):
    if name != "descript/dac_16khz":
      raise self.errors.HfHubHTTPError("404 not found")
    assert "*.safetensors" in allow_patterns
    return str(FIXTURES / "hugging_face")


def test_weights_come_from_the_hub_or_a_remedy_is_named(
  tmp_path, monkeypatch, user_error
):
  command = ["import-weights", "dac", "from_hub:descript/dac_16khz", "--out"]
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  message = user_error([*command, tmp_path / "out"])
  assert "pip install huggingface_hub" in message
  monkeypatch.setitem(sys.modules, "huggingface_hub", _Hub())
  assert main([*command, str(tmp_path / "out")]) == 0
  assert codec.load(tmp_path / "out").config.kind == "dac"
  message = user_error(
    ["import-weights", "dac", "from_hub:no/such", "--out", tmp_path / "no"]
  )
  assert "from_hub:no/such" in message and "404" in message


def test_a_folder_without_a_model_is_told(tmp_path, user_error):
  (tmp_path / "empty").mkdir()
  assert "empty: no model in it" in user_error(["inspect", tmp_path / "empty"])
