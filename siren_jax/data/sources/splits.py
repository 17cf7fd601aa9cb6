"""Names of splits: in columns, and in the names of files and folders."""

import re
from pathlib import Path

TEST = "test"  # is evaluated on, and never prepared for training
NAMES = {
  "train": "train",
  "training": "train",
  "development": "train",
  "validation": "validation",
  "valid": "validation",
  "val": "validation",
  "dev": "validation",
  "test": TEST,
  "testing": TEST,
  "eval": TEST,
  "evaluation": TEST,
}


def of_file(path: Path) -> str:
  """ "train", "validation", "test" or "", by the words of the file's name."""
  words = re.split(r"[\W_]+", path.stem.lower())
  return next((NAMES[w] for w in reversed(words) if w in NAMES), "")


def without_test(split: str) -> str:
  """What is for tests validates, where it is asked for."""
  return "validation" if split == TEST else split
