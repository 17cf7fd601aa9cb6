"""`load`: a bundle from its folder to its devices."""

import dataclasses
import os

from siren_jax import experts
from siren_jax.api.model import BATCH_SIZE
from siren_jax.api.siren import Siren
from siren_jax.common import compilation, tuning
from siren_jax.common import mesh as meshes
from siren_jax.weights import bundle as bundles

_PLAIN = experts.Execution()


def load(
  model: str | os.PathLike | None = None,
  mesh: meshes.MeshConfig | None = None,
  batch_size: int = BATCH_SIZE,
  execution: experts.Execution | None = None,
  dtype: str | None = None,
) -> Siren:
  """Loads a bundle: a folder, the name of one that ships, or the default one.

  What is compiled is kept for later processes, where JAX_COMPILATION_CACHE_DIR
  or the cache folder of the user says.

  Args:
    model: which bundle.
    batch_size: sounds drawn at a time, candidates counted; over a mesh, by
      each device that has rows of its own. More is faster where there are
      many to draw. Another size may change the last bits of a sound.
    mesh: makes sounds on all devices: rows over data and fsdp, experts over
      expert, heads over model. None: on one.
    execution: how the experts are run. None: as a bundle of before says,
      which kept it.
    dtype: of the experts, instead of what `execution` says: float32, bfloat16,
      or int8 (see `Execution`). Where neither says another, it is bfloat16 on
      TPUs and on NVIDIA's GPUs from Ampere on, and float32 elsewhere.

  Raises:
    UserError: there is no such bundle, or it is broken; the mesh does not fit
      the devices or the experts; or the batch size is below 1.
  """
  compilation.use_cache()
  bundle = bundles.load(model, execution)
  if dtype is None and execution is None and bundle.execution == _PLAIN:
    dtype = tuning.current().dtype
  if dtype is not None:
    changed = dataclasses.replace(bundle.execution, dtype=dtype)
    bundle = bundle.run_with(changed)
  return Siren(bundle, mesh, batch_size)
