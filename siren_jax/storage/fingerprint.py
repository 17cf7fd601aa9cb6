"""Fingerprints: short hashes of the content of data sets, models and files.

Equal content has the same fingerprint, whatever its name.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_SHOWN = 12  # letters in messages


def short(fingerprint: str | None) -> str:
  """A fingerprint shortened for messages."""
  return (fingerprint or "none")[:_SHOWN]


def of_values(values: Any) -> str:
  """Fingerprint of JSON-ready values."""
  text = json.dumps(values, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def of_element(element: Mapping[str, Any]) -> str:
  """Fingerprint of one record: texts, numbers, lists of texts and arrays."""
  import numpy as np  # not needed by `siren-jax --help`

  digest = hashlib.sha256()
  for name, value in sorted(element.items()):
    if isinstance(value, np.ndarray):
      head = [name, str(value.dtype), value.shape]
      digest.update(json.dumps(head).encode())
      digest.update(value.tobytes())
    else:
      if isinstance(value, float | np.floating):
        value = repr(float(value))
      elif not isinstance(value, str | list | tuple):
        value = int(value)
      digest.update(json.dumps([name, value]).encode())
  return digest.hexdigest()


def of_file(path: Path) -> str:
  """Fingerprint of a file's bytes."""
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def of_files(paths: Iterable[Path]) -> str:
  """Fingerprint of files by their names and bytes."""
  return of_values({path.name: of_file(path) for path in paths})
