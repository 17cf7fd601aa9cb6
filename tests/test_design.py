"""docs/design.md says where things are, and they are there."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "design.md").read_text("utf-8")


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
