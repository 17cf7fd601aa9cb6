"""`load`: reads a bundle and puts it on the devices."""

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
  expand: bool = True,
) -> Siren:
  """Loads a bundle: a folder, the name of a built-in one, or the default one.

  Compiled programs are cached for later processes in JAX_COMPILATION_CACHE_DIR
  or the user's cache folder.

  Args:
    model: folder, name or hub:OWNER/NAME of the bundle; None: the default one.
    batch_size: sounds drawn at a time, including candidates; over a mesh, per
      device that has its own rows. A larger size is faster for many sounds. It
      may change the last bits of a sound.
    mesh: makes sounds on all devices: rows over data and fsdp, experts over
      expert, heads over model. None: on one device.
    execution: how the experts are run. None: the default, or what an older
      bundle says.
    dtype: of the experts, overriding `execution`: float32, bfloat16 or int8
      (see `Execution`). By default bfloat16 on TPUs and on NVIDIA GPUs since
      Ampere, float32 elsewhere.
    expand: expand unusual prompts, see `Siren.expanded`.

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
  return Siren(bundle, mesh, batch_size, expand)
