"""Compiled programs, kept for later processes."""

from typing import Any

import jax
import platformdirs


def use_cache() -> None:
  """Keeps compiled programs in the user's cache folder between processes.

  JAX's own variables steer it: JAX_COMPILATION_CACHE_DIR moves it,
  JAX_ENABLE_COMPILATION_CACHE=false switches it off. A folder that the program
  has set stays.
  """
  config: Any = jax.config  # its fields are made at run time
  if not config.jax_compilation_cache_dir:
    folder = platformdirs.user_cache_path("siren-jax") / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
