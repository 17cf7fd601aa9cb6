"""The site is built without a warning; its figure is drawn of a config."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

import siren_jax
from benchmarks import figure
from siren_jax.weights import bundle as bundles

pytestmark = pytest.mark.pages
ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
  """The site, built as `mkdocs build --strict` builds it."""
  folder = tmp_path_factory.mktemp("site")
  done = subprocess.run(
    [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", folder],
    cwd=ROOT,
    env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return folder


def test_every_page_is_in_the_menu_of_the_site(site):
  menu = (site / "index.html").read_text("utf-8")
  linked = re.findall(r'href="(\w+)/" class="md-nav__link"', menu)
  assert set(linked) == {p.stem for p in ROOT.glob("docs/*.md")} - {"index"}


def test_a_reader_fetches_nothing_from_elsewhere(site):
  fetched = (
    r"<(?:script|img)[^>]* src=.?https?:|<link[^>]*stylesheet[^>]*https?:"
  )
  for page in site.rglob("*.html"):
    assert not re.search(fetched, page.read_text("utf-8")), page


def test_formulas_are_mathml(site):
  source = (ROOT / "docs/alignment.md").read_text("utf-8")
  page = (site / "alignment/index.html").read_text("utf-8")
  formulas = re.findall(r"\$\$.+?\$\$|\$[^$\n]+(?:\n[^$\n]+)?\$", source, re.S)
  assert page.count("<math ") == len(formulas) > 10
  assert "\\mathrm" not in page
  assert "klzzwxh" not in page  # Markdown's own mark of an escaped character


@pytest.mark.parametrize("model", ["shipped", "tiny"])
def test_the_figure_has_the_sizes_of_the_bundle(model, tiny_model):
  bundle = tiny_model if model == "tiny" else bundles.load()
  canvas = figure.draw(bundle)
  words = " ".join(text.get_text() for text in canvas.axes[0].texts)
  config, codec = bundle.config, bundle.codec.config
  text = bundle.clap.config.text
  for size in (
    f"{text.layers} layer", f"width {text.width}",
    f"at most {text.max_tokens} prompt tokens of {config.prompt_dim} values",
    f"temporal path\n{config.temporal_layers} layer", f"width {config.dim}",
    f"depth path\n{config.depth_layers} layer", f"{config.num_codebooks} codes",
    f"one of {config.codebook_size:,}", f"{codec.frame_rate:g} frames",
    f"{codec.sample_rate:,} samples", f"expert {config.num_experts - 1}",
    f" {config.num_codebooks - 1} ",
  ):  # fmt: skip
    assert size in words, size
  assert f"expert {config.num_experts}" not in words


def test_nothing_of_the_figure_is_cut_off_or_overlaps():
  canvas = figure.draw(bundles.load())
  canvas.canvas.draw()
  axis = canvas.axes[0]
  texts = [t for t in axis.texts if t.get_text()]
  spans = [t.get_window_extent() for t in texts]
  for span in [*spans, *(p.get_window_extent() for p in axis.patches)]:
    assert canvas.bbox.containsx(span.x0) and canvas.bbox.containsx(span.x1)
    assert canvas.bbox.containsy(span.y0) and canvas.bbox.containsy(span.y1)
  for i, span in enumerate(spans):
    for other, beside in zip(texts[:i], spans[:i]):
      assert not span.overlaps(beside), (texts[i].get_text(), other.get_text())
  for box in (p.get_window_extent() for p in axis.patches):
    for text, span in zip(texts, spans):
      inside = box.x0 < span.x0 and span.x1 < box.x1
      assert inside or not box.overlaps(span), text.get_text()


def test_the_figure_of_the_page_is_that_of_the_model(tmp_path, monkeypatch):
  new = tmp_path / "model.svg"
  monkeypatch.setattr(sys, "argv", ["figure", "--out", str(new)])
  figure.main()
  # Letters are paths, below comments that say what they are.
  words = [
    re.findall(r"<!-- (.*?) -->", path.read_text("utf-8"))
    for path in (new, ROOT / "docs" / "model.svg")
  ]
  assert len(words[0]) > 20 and words[0] == words[1]


def test_the_page_of_the_api_has_every_public_name():
  text = (ROOT / "docs" / "api.md").read_text("utf-8")
  names = re.findall(r"^::: [\w.]*\.(\w+)$", text, re.M)
  assert set(siren_jax.__all__) - {"__version__"} <= set(names)
