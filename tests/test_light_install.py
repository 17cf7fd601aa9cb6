"""A light install listens; what it lacks is named in one line."""

import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import soundfile

from siren_jax.common import extras
from siren_jax.common.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# What a light install lacks, and what beside it a machine may lack on which
# steps of training run.
EXTRAS = {
  "array_record", "gradio", "grain", "librosa", "ml_collections",
  "tensorboardX", "tensorflow_datasets", "transformers",
}  # fmt: skip
OTHERS = {
  "huggingface_hub", "matplotlib", "platformdirs", "pyloudnorm", "soundfile",
  "soxr", "tqdm",
}  # fmt: skip

REFUSING = """
import sys

class Refusing:
  def find_spec(self, name, path=None, target=None):
    if name.partition(".")[0] in {names!r}:
      raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refusing())
"""


def run(program: str, names: set[str], cwd: pathlib.Path) -> str:
  """Standard error of a program that finds no packages of these names."""
  done = subprocess.run(
    [sys.executable, "-c", REFUSING.format(names=names) + program],
    cwd=cwd,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return done.stderr


def test_requirements_are_those_of_the_project():
  lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
  groups = PROJECT["optional-dependencies"]
  wanted = PROJECT["dependencies"] + sum(
    (groups[name] for name in ("train", "evaluate", "weights", "demo")), []
  )
  assert [line for line in lines if not line.startswith("#")] == sorted(
    wanted, key=str.lower
  )


def test_a_light_install_lacks_the_packages_of_every_extra():
  names = {re.split(r"\W", d, maxsplit=1)[0] for d in PROJECT["dependencies"]}
  assert not names & EXTRAS
  for extra, packages in extras.PACKAGES.items():
    assert set(packages) <= EXTRAS, extra


def test_everything_is_imported_without_extras():
  program = """
import importlib, pkgutil, siren_jax
for module in pkgutil.walk_packages(siren_jax.__path__, "siren_jax."):
  if module.name != "siren_jax.__main__":
    importlib.import_module(module.name)
"""
  run(program, EXTRAS, ROOT)


def test_steps_of_training_are_imported_where_little_is_installed():
  program = """
import importlib
for name in (
  "training", "codec.task", "clap.task", "experts.task", "alignment.task",
  "experiments.codec", "experiments.clap", "experiments.stage1",
  "experiments.align", "experiments.kinds",
):
  importlib.import_module(f"siren_jax.{name}")
"""
  run(program, EXTRAS | OTHERS, ROOT)


def test_a_model_is_loaded_without_what_trains_it(tiny_bundle):
  """Optax and Orbax come with Flax; loading does not wait for them."""
  program = f"""
import siren_jax
siren_jax.load({str(tiny_bundle)!r})
"""
  run(program, EXTRAS | {"optax", "orbax"}, ROOT)


@pytest.mark.long
def test_sounds_are_made_without_extras(tiny_bundle, tmp_path):
  soundfile.write(
    tmp_path / "tone.wav", 0.3 * np.sin(np.arange(16000) / 5), 16000
  )
  program = f"""
from siren_jax.cli.main import main
model = ["--model", {str(tiny_bundle)!r}]
for command in (
  ["generate", "rain", "--seconds=0.5", "--spectrogram", "--out=rain.wav"],
  ["generate", "--continue", "tone.wav", "--seconds=0.5", "--out=longer.wav"],
  ["generate", "--fill", "0.2:0.4", "tone.wav", "--out=filled.wav"],
  ["generate", "--vary", "tone.wav", "--keep=2", "--out=varied.wav"],
  ["encode", "tone.wav", "--out=tone.npz"],
  ["decode", "tone.npz", "--out=again.wav"],
):
  assert main([*command, *model]) == 0, command
assert main(["inspect", {str(tiny_bundle)!r}]) == 0
"""
  run(program, EXTRAS, tmp_path)
  names = {path.name for path in tmp_path.iterdir()}
  assert {"rain.png", "longer.wav", "filled.wav", "varied.wav"} <= names


TINY = ROOT / "configs" / "tiny.py"
HEAVY = {
  "grain": [
    ["prepare-data", "--synthetic=4", "--out=new"],
    ["train-codec", f"--config={TINY}", "--workdir=new"],
    ["train-clap", f"--config={TINY}", "--workdir=new"],
    ["train", f"--config={TINY}", "--workdir=new"],
    ["align", f"--config={TINY}", "--workdir=new"],
  ],
  "ml_collections": [
    ["compile-check", f"--config={TINY}", "--topology=v5e:2x2"],
    ["inspect", str(TINY)],
  ],
  "tensorflow_datasets": [["inspect", "set"]],
  "gradio": [["demo"]],
}


def test_a_published_clap_names_its_extra_in_one_line(tmp_path):
  command = ["import-weights", "clap", ".", "--out=new"]
  program = f"""
from siren_jax.cli.main import main
assert main({command!r}) == 2
"""
  assert run(program, EXTRAS, tmp_path).splitlines() == [
    "siren-jax: error: transformers is not installed;"
    " pip install 'siren-jax[weights]'"
  ]


def test_what_takes_an_extra_names_it_in_one_line(tmp_path):
  (tmp_path / "set").mkdir()
  (tmp_path / "set" / "dataset_info.json").write_text("{}")
  program = f"""
from siren_jax.cli.main import main
for command in {[c for commands in HEAVY.values() for c in commands]!r}:
  assert main(command) == 2, command
"""
  lines = run(program, EXTRAS, tmp_path).splitlines()
  assert lines == [
    f"siren-jax: error: {package} is not installed;"
    f" pip install 'siren-jax[{'demo' if package == 'gradio' else 'train'}]'"
    for package, commands in HEAVY.items()
    for _ in commands
  ]
  assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_package_that_lacks_another_is_no_other_error(tmp_path, monkeypatch):
  (tmp_path / "half_there.py").write_text("import what_it_takes")
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setitem(extras.PACKAGES, "half", ("half_there",))
  message = r"^what_it_takes is not installed; .*'siren-jax\[half\]'$"
  with pytest.raises(UserError, match=message):
    extras.load("half_there")
