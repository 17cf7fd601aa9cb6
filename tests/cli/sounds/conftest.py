"""What the tests of several verbs share."""

import pytest

from siren_jax.cli.main import main


@pytest.fixture
def generate(tiny_bundle, tmp_path, monkeypatch):
  """Runs `siren-jax generate` in a folder of its own; gives the status."""
  monkeypatch.chdir(tmp_path)

  def run(*args):
    length_is_known = {"--seconds", "--fill", "--vary"} & set(args)
    short = [] if length_is_known else ["--seconds", "0.2"]
    return main(["generate", *args, *short, "--model", str(tiny_bundle)])

  return run
