"""The notebooks agree with their texts, and run from top to bottom."""

import os
import pathlib
import subprocess
import sys

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[1]
# Parameters in place of those of the notebook: small.
SIZES = {
  "first_sound": "SECONDS, CANDIDATES = 0.5, 1",
  "your_own_sounds": (
    "RECORDINGS, SECONDS, BATCH_SIZE = 8, 1.0, 4\nTRAIN_STEPS = ALIGN_STEPS = 2"
  ),
  "inside_the_codec": (
    "PROMPTS, SOUNDS, SECONDS, FRAMES = PROMPTS[:3], 4, 1.0, 8"
  ),
}


def test_notebooks_are_those_of_their_texts():
  sync = [sys.executable, "notebooks/sync.py", "--check"]
  done = subprocess.run(sync, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stdout + done.stderr
  assert {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")} == set(SIZES)


@pytest.mark.notebook
@pytest.mark.parametrize("name", SIZES)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
  for variable in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR"):
    monkeypatch.delenv(variable, raising=False)  # It runs as users have it.
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
  monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
  book = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
  (index,) = [
    i
    for i, cell in enumerate(book.cells)
    if "parameters" in cell.metadata.get("tags", [])
  ]
  book.cells.insert(index + 1, nbformat.v4.new_code_cell(SIZES[name]))
  nbclient.NotebookClient(
    book, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
  ).execute()
  for cell in book.cells:
    for output in cell.get("outputs", []):
      text = output.get("text", "")
      assert output.get("name") != "stderr" and "arning" not in text, text
