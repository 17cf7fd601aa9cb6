"""Compiled programs, kept for later processes."""

import os
from typing import Any

import jax
import platformdirs


def use_cache() -> None:
  """Keeps compiled programs in the user's cache folder between processes.

  JAX's environment variables control it: JAX_COMPILATION_CACHE_DIR sets the
  folder, JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS which programs are kept,
  JAX_ENABLE_COMPILATION_CACHE=false disables it. A folder that the program has
  already set is kept.
  """
  config: Any = jax.config  # its fields are made at run time
  if not config.jax_compilation_cache_dir:
    folder = platformdirs.user_cache_path("siren-jax") / "compiled"
    config.update("jax_compilation_cache_dir", str(folder))
  if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
    config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
