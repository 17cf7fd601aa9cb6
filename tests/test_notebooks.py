"""notebooks/: in step with their sources, and every cell runs."""

import os
import pathlib
import re

import pytest

jupytext = pytest.importorskip("jupytext")
nbclient = pytest.importorskip("nbclient")

pytestmark = pytest.mark.pages
ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
SYNC = "run jupytext --sync notebooks/*.py"
# What training says beside its bar.
SAID = re.compile(r"compiling the .* \.\.\.|compiled in .* s|done: .*|")
ADDRESS = re.compile(r"github(?:\.com)?/([\w-]+/[\w-]+)")

source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


@source
def test_a_notebook_is_its_source(source):
  cells, expected = (
    [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]
    for path in (source.with_suffix(".ipynb"), source)
  )
  assert cells == expected, SYNC


@source
def test_a_notebook_is_kept_without_outputs(source):
  for cell in jupytext.read(source.with_suffix(".ipynb")).cells:
    assert not cell.get("outputs"), SYNC


def test_one_address_in_all_notebooks():
  addresses = set()
  for path in SOURCES:
    text = path.read_text()
    (badge,) = re.findall(r"colab.research.google.com/github/\S+(?=\))", text)
    assert badge.endswith(f"/blob/main/notebooks/{path.stem}.ipynb")
    addresses |= set(ADDRESS.findall(text))
  assert len(addresses) == 1, "sed -i 's#OLD/NAME#NEW/NAME#' notebooks/*.py"


@pytest.fixture
def kernel(monkeypatch, tmp_path):
  """Kernels of this interpreter, with this checkout on one device."""
  from matplotlib import font_manager

  font_manager.findfont("sans")  # fills its cache, aloud

  flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")
  monkeypatch.setenv("XLA_FLAGS", flags)
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  monkeypatch.setenv("SIREN_NOTEBOOK_SIZE", "ci")
  monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))  # no other kernels


@source
def test_every_cell_runs(source, kernel, tmp_path):
  notebook = jupytext.read(source.with_suffix(".ipynb"))
  where = {"metadata": {"path": str(tmp_path)}}
  nbclient.NotebookClient(
    notebook, timeout=600, kernel_name="python3", resources=where
  ).execute()
  outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
  shown = [o.data for o in outputs if "data" in o]
  assert sum("image/png" in data for data in shown) >= 5
  for output in outputs:
    if output.get("name") == "stderr":
      for line in output.text.splitlines():
        assert SAID.fullmatch(line), line
  if "%run" in source.read_text():
    bars = [d for d in shown if "application/vnd.jupyter.widget-view+json" in d]
    assert len(bars) == 6  # two preparations, four trainings
