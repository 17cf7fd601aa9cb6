"""docs/design.md says where things are, and they are there.

So do the other pages, the list of tests in .ci/run and the changelog.
"""

import pathlib
import pkgutil
import re
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "design.md").read_text("utf-8")
PAGES = [
  ".ci/run",
  "CONTRIBUTING.md",
  "README.md",
  *(str(page.relative_to(ROOT)) for page in ROOT.glob("[!.]*/*.md")),
  *(str(page.relative_to(ROOT)) for page in ROOT.glob("siren_jax/**/*.md")),
]


def test_every_path_of_the_page_exists():
  paths = set(re.findall(r"`([\w/]+(?:\.py|/))`", TEXT))
  assert len(paths) > 50
  roots = ROOT, ROOT / "siren_jax"
  assert [p for p in paths if not any((r / p).exists() for r in roots)] == []


def test_every_name_of_the_page_is_defined_in_its_file():
  names = set(re.findall(r"`([\w/]+\.py)`, `(\w+)`", TEXT))
  assert len(names) > 5
  for path, name in names:
    code = (ROOT / "siren_jax" / path).read_text("utf-8")
    definition = rf"^(def {name}\(|class {name}\b|{name} =)"
    assert re.search(definition, code, re.M), (path, name)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page):
  text = (ROOT / page).read_text("utf-8")
  top = "siren_jax|tests|benchmarks|configs|docs|launch"
  paths = re.findall(rf"(?<![\w/.-])(?:{top})/[\w/.-]*\w", text)
  assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_layers_of_the_page_are_those_that_are_checked():
  settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
  contract = settings["tool"]["importlinter"]["contracts"][0]
  section = TEXT.partition("\n## Layers\n")[2].partition("\n## ")[0]
  assert re.findall(r"^\| `(\w+)` \|", section, re.M) == contract["layers"]


def test_a_letter_is_in_the_legend_of_axes_once():
  section = TEXT.partition("\n## Axes\n")[2].partition("\n## ")[0]
  letters = re.findall(r"(?:^|\|) ?([A-Z]) \|", section, re.M)
  assert len(letters) > 15 and len(letters) == len(set(letters))


def test_what_has_moved_is_where_the_changelog_says():
  text = (ROOT / "CHANGELOG.md").read_text("utf-8")
  table = text.partition("  | was | is |\n")[2].partition("\n\n")[0]
  names = re.findall(
    r"`([\w.]+)`", "".join(re.findall(r".*(\|.*)\|\n?", table))
  )
  assert len(names) > 40
  for name in names:
    assert pkgutil.resolve_name(f"siren_jax.{name}") is not None
