"""The code of README.md and of the pages in docs/ runs as it is printed.

Every block is run, page by page and in its order, or a comment before it says
why not: <!-- not run: needs a TPU -->. Text right below a block is what the
block prints; "..." stands for anything.
"""

import contextlib
import dataclasses
import doctest
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from siren_jax.cli.main import main
from siren_jax.common.rng import choice

markdown_it = pytest.importorskip("markdown_it")
pytestmark = pytest.mark.pages

ROOT = pathlib.Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
RUN, SHOWN = ("python", "bash"), ("text", "csv", "json", "bibtex")
MARK = re.compile(r"<!-- not run: ((?:needs|takes|installs)\b.*) -->\s*")
# Everything that is run otherwise than it is printed.
CHEAPER = {
  "--seconds 600": "--seconds 6",
  "seconds=600": "seconds=6",
  "--seconds 3600": "--seconds 1",
  "seconds=None": "seconds=1",
  "--seconds none": "--seconds 1",
  "| ffplay -": "> played.wav",
  "sj.play(audio_BxS)": "",  # for notebooks
  "pip install '.[train]'\n": "",
  "configs/align_nano.py": "configs/tiny_align.py",
  "configs/nano": "configs/tiny",
  "--config=align_nano": "--config=tiny_align",
  "--config=nano_": "--config=tiny_",
  "--config=nano --workdir=runs/experts": (
    "--config=tiny --workdir=runs/experts"
  ),
  "--again sound.json": "--again rain.json",
  "--config.train.steps=200": "--config.train.steps=2",
  "candidates=16": "candidates=2",
}
# Names that the Python of a page takes for granted.
NAMES = {
  "docs/sampling.md": """
import siren_jax, soundfile
siren = siren_jax.load()
audio_S, _ = soundfile.read("clip.wav", dtype="float32")
write = play = len
"""
}
# Verbs that need no process of their own.
HERE = (
  "average", "decode", "encode", "evaluate", "export", "generate", "inspect",
  "kinds", "prepare-data",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Block:
  """A block of code, where it is, and what stands around it."""

  page: str
  line: int
  language: str
  code: str
  mark: str
  printed: str


def blocks_of(page: str) -> list[Block]:
  text = (ROOT / page).read_text("utf-8")
  tokens = markdown_it.MarkdownIt().parse(text)
  blocks = []
  for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None]):
    if token.type not in ("fence", "code_block"):
      continue
    language = token.info if token.type == "fence" else "bash"
    marked = before is not None and before.type == "html_block"
    answered = after is not None and (after.type, after.info) == (
      "fence",
      "text",
    )
    blocks.append(
      Block(
        page,
        token.map[0] + 1,
        language,
        token.content,
        before.content if marked else "",
        after.content if answered else "",
      )
    )
  return blocks


def cheaper(code: str) -> str:
  for printed, run in CHEAPER.items():
    code = code.replace(printed, run)
  return code


def make_files(folder: pathlib.Path) -> None:
  """What the pages take for granted: recordings, and the configs."""
  (folder / "configs").symlink_to(ROOT / "configs")
  (folder / "prompts.txt").write_text("a dog barking\nrain on a roof\n")
  rng = np.random.default_rng(0)
  for name in (
    "clip.wav", "sounds/rain.wav", "sounds/sea.wav", "recordings/rain.wav",
    "recordings/sea.wav",
    "my_sounds/rain/heavy rain on a roof.wav", "my_sounds/rain/drizzle 2.wav",
    "my_sounds/dog bark/small terrier.wav", "my_sounds/dog bark/DSC12.wav",
  ):  # fmt: skip
    sound_S = rng.normal(0, 0.1, 5 * 16000) * np.abs(
      np.sin(np.arange(5 * 16000) / choice(rng, (900, 9000)))
    )
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, sound_S, 16000)


def make_commands(folder: pathlib.Path) -> dict[str, str]:
  """Variables under which a shell finds this Python, and one device."""
  folder.mkdir()
  for name, call in (("python", ""), ("siren-jax", "-m siren_jax")):
    command = folder / name
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {call} "$@"\n')
    command.chmod(0o755)
  flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")
  return os.environ | {
    "XLA_FLAGS": flags,
    "PATH": f"{folder}:{os.environ['PATH']}",
    "PYTHONPATH": f"{ROOT}",
  }


def run_line(line: str, variables: dict[str, str]) -> str:
  """Runs a line of shell, in this process where that does as well."""
  words = shlex.split(line, comments=True)
  if not words:
    return ""
  call, _, file = line.partition(" > ")
  plain = not re.search(r"[|<>;&*$`]", call + file)
  if plain and words[0] == "siren-jax" and words[1] in HERE:
    with open(file, "w") if file else io.StringIO() as printed:
      with contextlib.redirect_stdout(printed):
        assert main(shlex.split(call, comments=True)[1:]) == 0, line
      return "" if file else printed.getvalue()
  done = subprocess.run(
    ["bash", "-c", f"set -eo pipefail; {line}"],
    env=variables,
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
  return done.stdout


def run_block(block: Block, names: dict, variables: dict[str, str]) -> str:
  """Runs a block; gives what it prints."""
  code = cheaper(block.code)
  if block.language == "python":
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
      exec(compile(code, f"{block.page}:{block.line}", "exec"), names)
    return printed.getvalue()
  lines = code.replace("\\\n", " ").splitlines()
  return "".join(run_line(line, variables) for line in lines)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page):
  blocks = blocks_of(page)
  for block in blocks:
    where = f"{page}:{block.line}"
    assert block.language in RUN + SHOWN, f"{where} is of no known language"
    if block.mark:
      assert MARK.fullmatch(block.mark), f"{where}: {block.mark}"
      assert block.language in RUN, f"{where} is marked, and is no code"
  marks = (ROOT / page).read_text("utf-8").count("<!--")
  assert marks == sum(bool(b.mark) for b in blocks), "a mark before no block"


@pytest.mark.parametrize(
  "page", [p for p in PAGES if any(b.language in RUN for b in blocks_of(p))]
)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  make_files(tmp_path)
  variables = make_commands(tmp_path / "bin")
  names: dict = {"__name__": "page"}
  exec(NAMES.get(page, ""), names)
  options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
  for block in blocks_of(page):
    if block.mark or block.language not in RUN:
      continue
    printed = run_block(block, names, variables)
    if block.printed:
      same = doctest.OutputChecker().check_output(
        block.printed, printed, options
      )
      assert same, f"{page}:{block.line} prints\n{printed}"


def test_what_is_run_otherwise_is_printed_somewhere():
  code = "".join(b.code for page in PAGES for b in blocks_of(page))
  assert [printed for printed in CHEAPER if printed not in code] == []
