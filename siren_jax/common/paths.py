"""Paths given by users. Support for object storage would go here."""

import os
import re
from pathlib import Path

from siren_jax.common.errors import UserError

# pathlib makes one slash of two.
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/|.*://", re.IGNORECASE | re.DOTALL)


def local(path: str | os.PathLike) -> Path:
  """A path on this machine.

  Raises:
    UserError: it is a URL, such as gs://bucket/folder.
  """
  if _URL.match(os.fspath(path)):
    raise UserError(
      f"{path}: URLs and object storage are not supported; copy it to a local"
      " folder and give that path"
    )
  return Path(path)
