"""Siren-JAX: text to audio by residual language models, in JAX.

  import siren_jax as sj
  siren = sj.load()
  audio_BxS = siren.generate(["rain on a tin roof"], seconds=5)

Everything is imported on first use (PEP 562), so `import siren_jax` is fast.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
  "Batch": "siren_jax.api",
  "Closest": "siren_jax.api",
  "Siren": "siren_jax.api",
  "Sound": "siren_jax.api",
  "load": "siren_jax.api",
  "play": "siren_jax.api",
  "save": "siren_jax.api",
  "show": "siren_jax.api",
  "Execution": "siren_jax.experts",
  "ExpertConfig": "siren_jax.experts",
  "MeshConfig": "siren_jax.common.mesh",
  "SamplingConfig": "siren_jax.sampling",
  "UserError": "siren_jax.common.errors",
}
_SUBPACKAGES = (
  "alignment",
  "audio",
  "clap",
  "codec",
  "common",
  "data",
  "evaluation",
  "experiments",
  "experts",
  "sampling",
  "training",
  "weights",
)
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
  if name in _HOMES:
    return getattr(importlib.import_module(_HOMES[name]), name)
  if name in _SUBPACKAGES:
    return importlib.import_module(f"siren_jax.{name}")
  raise AttributeError(f"module 'siren_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
  return sorted({*globals(), *_HOMES, *_SUBPACKAGES})
