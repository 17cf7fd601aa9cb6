"""The frame of the command line: help, errors, exit status."""

import pathlib
import subprocess
import sys

import pytest

import siren_jax
from siren_jax.cli import main as cli
from siren_jax.common.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def imported_by(*code: str) -> set[str]:
  """Top-level packages that a fresh Python holds after running `code`."""
  lines = "; ".join(
    [
      *code,
      "import sys",
      "print('\\n'.join({m.split('.')[0] for m in sys.modules}))",
    ]
  )
  out = subprocess.run(
    [sys.executable, "-c", lines], capture_output=True, text=True, check=True
  )
  return set(out.stdout.split())


def test_importing_the_package_imports_nothing_slow():
  assert not imported_by("import siren_jax") & {"jax", "numpy", "flax"}


def test_help_imports_nothing_slow():
  names = imported_by(
    "import contextlib, io",
    "from siren_jax.cli.main import main",
    "out = io.StringIO()",
    "exec('''try:\\n  with contextlib.redirect_stdout(out): main([\"--help\"])"
    "\\nexcept SystemExit: pass''')",
    "assert 'generate' in out.getvalue()",
  )
  assert not names & {"jax", "numpy", "absl", "tqdm"}


def test_module_runs_as_the_command():
  done = subprocess.run(
    [sys.executable, "-m", "siren_jax", "--version"],
    capture_output=True,
    text=True,
  )
  assert (done.returncode, done.stdout.strip()) == (
    0,
    f"siren-jax {siren_jax.__version__}",
  )


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(verb, capsys):
  with pytest.raises(SystemExit) as stop:
    cli.main([verb, "--help"])
  assert stop.value.code == 0
  assert f"siren-jax {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
  ("argv", "named"),
  [
    ([], "COMMAND"),
    (["generat"], "generat"),
    (["generate", "x", "--seconds", "many"], "--seconds"),
    (["generate", "x", "--colour", "red"], "--colour"),
    (["generate", "x", "--config.a=1"], "--config.a=1"),
    (["train", "--config=x.py"], "--workdir"),
    (["train", "--config=x.py", "--workdir=w", "--steps=3"], "--steps=3"),
    (["train", "--config=x.py", "--workdir=w", "--conf=y"], "--conf=y"),
    (["export", "--out", "x"], "--experts"),
  ],
)
def test_wrong_arguments_are_one_line_and_status_2(argv, named, user_error):
  assert named in user_error(argv)


def failing_verb(monkeypatch, error):
  def run(args):
    raise error

  monkeypatch.setattr("siren_jax.cli.models.inspect.run", run)
  return ["inspect"]


@pytest.mark.parametrize(
  ("error", "message"),
  [
    (UserError("two\nlines  of it"), "two lines of it"),
    (FileNotFoundError(2, "No such file or directory", "a.txt"), "a.txt"),
    (OSError(28, "No space left on device"), "No space left on device"),
  ],
)
def test_errors_of_a_verb_are_one_line(error, message, monkeypatch, user_error):
  assert message in user_error(failing_verb(monkeypatch, error))


def test_a_bug_is_not_taken_for_bad_input(monkeypatch):
  with pytest.raises(ZeroDivisionError):
    cli.main(failing_verb(monkeypatch, ZeroDivisionError()))


def test_an_interrupt_says_that_the_run_can_resume(monkeypatch, capsys):
  assert cli.main(failing_verb(monkeypatch, KeyboardInterrupt())) == 130
  assert "same command" in capsys.readouterr().err


URL = "gs://bucket/folder"
CONFIG = ["--config=configs/tiny.py"]


@pytest.mark.parametrize(
  "argv",
  [
    ["generate", "rain", "--out", URL],
    ["generate", "rain", "--model", URL],
    ["generate", "--prompts", URL],
    ["prepare-data", URL, "--out", "x"],
    ["prepare-data", "--manifest", URL, "--out", "x"],
    ["prepare-data", "x", "--codec", URL, "--clap", "x", "--out", "x"],
    ["prepare-data", "--synthetic", "--out", URL],
    ["train-codec", "--config", URL, "--workdir=x"],
    ["train-codec", "--config=configs/tiny_codec.py", f"--workdir={URL}"],
    ["train", *CONFIG, "--workdir=x", f"--config.data.path={URL}"],
    ["train", *CONFIG, "--workdir=x", f"--config.data.start={URL}"],
    ["align", "--config=configs/tiny_align.py", "--workdir=x", "--notes", URL],
    ["evaluate", "--generated", URL, "--reference", "x"],
    ["evaluate", "--generated=x", "--reference=x", "--cnn14", URL],
    ["evaluate", "--generated=x", "--reference=x", "--json", URL],
    ["import-weights", "dac", URL, "--out", "x"],
    ["export", "--experts", URL, "--out", "x"],
    ["average", URL, "--start", "x", "--out", "x"],
    ["encode", "x.wav", URL],
    ["decode", URL],
    ["inspect", URL],
    ["inspect", "file:///tmp/x"],
  ],
)
def test_urls_are_refused_before_anything_is_made(
  argv, user_error, tmp_path, monkeypatch
):
  (tmp_path / "configs").symlink_to(ROOT / "configs")
  monkeypatch.chdir(tmp_path)
  assert "object storage are not supported" in user_error(argv)
  assert [p.name for p in tmp_path.iterdir()] == ["configs"]


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    (["--guidance", "1e39"], "--guidance 1e+39: must be"),
    (["--temperature", "nan"], "--temperature nan: must be a finite number"),
    (["--seconds", "inf"], "--seconds inf: must be a finite number"),
    (["--num-samples", "9" * 30], "--num-samples 9999"),
  ],
)
def test_numbers_that_32_bits_do_not_hold_are_refused(
  argv, message, user_error
):
  assert message in user_error(["generate", "rain", *argv])


def test_a_prompt_may_hold_a_url(monkeypatch):
  monkeypatch.setattr("siren_jax.cli.sounds.generate.run", lambda args: 0)
  assert cli.main(["generate", "a voice says http://x.org"]) == 0
