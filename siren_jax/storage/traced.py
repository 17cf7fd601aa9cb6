"""Shapes of parameters, cached on disk next to compiled programs.

Tracing a model for its shapes takes as long as the rest of loading it. They are
traced again if the config, the code of this package, JAX or Flax changes.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax
import flax.traverse_util
import jax

from siren_jax.common import files
from siren_jax.common.errors import UserError
from siren_jax.storage import fingerprint

_CODE = Path(__file__).parents[1]


def kept(trace: Callable[[], Any], *values: Any) -> Any:
  """The result of `trace`: nested dictionaries of `jax.ShapeDtypeStruct`.

  Args:
    trace: called if there is no cached result for these values.
    *values: everything that its result depends on except code; JSON ready.
  """
  config: Any = jax.config  # its fields are made at run time
  folder = config.jax_compilation_cache_dir
  if not folder or not config.jax_enable_compilation_cache:
    return trace()
  versions = [jax.__version__, flax.__version__, _code()]
  name = fingerprint.of_values([*values, *versions])
  path = Path(folder) / "shapes" / f"{name}.json"
  with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
    return _read(path)
  shapes = trace()
  with contextlib.suppress(OSError, UserError):  # It will be traced again.
    _write(path, shapes)
  return shapes


def _read(path: Path) -> Any:
  flat = json.loads(path.read_text("utf-8"))
  return flax.traverse_util.unflatten_dict(
    {
      name: jax.ShapeDtypeStruct(tuple(shape), dtype)
      for name, (shape, dtype) in flat.items()
    },
    sep="/",
  )


def _write(path: Path, shapes: Any) -> None:
  flat = flax.traverse_util.flatten_dict(shapes, sep="/")
  with files.replacing(path) as file:
    text = json.dumps({n: [x.shape, x.dtype.name] for n, x in flat.items()})
    file.write(text.encode())


def _code() -> list[Any]:
  """Values that change when a module of this package changes."""
  stats = ((p, p.stat()) for p in sorted(_CODE.rglob("*.py")))
  return [(str(p), s.st_size, s.st_mtime_ns) for p, s in stats]
