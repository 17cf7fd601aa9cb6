"""Writes each notebook (.ipynb) from its text (.py) by Jupytext.

  python notebooks/sync.py
  python notebooks/sync.py --check

Edit the .py files. Outputs are not kept. --check writes nothing, and fails
where a notebook is not that of its text.
"""

import argparse
import pathlib
import re
import sys

import jupytext
import nbformat

# The address in badges and install cells: change it here, run this file.
REPOSITORY = "OWNER/siren-jax"

FOLDER = pathlib.Path(__file__).parent
_KEPT = ("kernelspec", "language_info")


def addressed(text: str) -> str:
  """A text with the address of the repository in place of another."""
  text = re.sub(r"(github\.com/)[\w.-]+/siren-jax", rf"\1{REPOSITORY}", text)
  return re.sub(r"(com/github/)[\w.-]+/siren-jax", rf"\1{REPOSITORY}", text)


def notebook(path: pathlib.Path) -> str:
  """The notebook of a text, as JSON; the same text, the same notebook."""
  book = jupytext.read(path)
  book.nbformat, book.nbformat_minor = 4, 5
  book.metadata = nbformat.from_dict(
    {k: v for k, v in book.metadata.items() if k in _KEPT}
  )
  for number, cell in enumerate(book.cells):
    cell.id = f"cell-{number}"
  nbformat.validate(book)
  return nbformat.writes(book) + "\n"


def main() -> int:
  """Writes or checks all notebooks; the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--check", action="store_true")
  check = parser.parse_args().check
  status = 0
  for path in sorted(set(FOLDER.glob("*.py")) - {pathlib.Path(__file__)}):
    target = path.with_suffix(".ipynb")
    text = path.read_text("utf-8")
    if check:
      written = target.read_text("utf-8")
      if (text, written) != (addressed(text), notebook(path)):
        print(f"{target} is not that of {path.name}; run notebooks/sync.py")
        status = 1
      continue
    path.write_text(addressed(text), "utf-8")
    target.write_text(notebook(path), "utf-8")
  return status


if __name__ == "__main__":
  sys.exit(main())
