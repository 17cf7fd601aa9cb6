"""`load`: a bundle from its folder to its devices."""

import os

from siren_jax import experts
from siren_jax.api.model import BATCH_SIZE
from siren_jax.api.siren import Siren
from siren_jax.common import compilation
from siren_jax.common import mesh as meshes
from siren_jax.weights import bundle as bundles


def load(
  model: str | os.PathLike | None = None,
  mesh: meshes.MeshConfig | None = None,
  batch_size: int = BATCH_SIZE,
  execution: experts.Execution | None = None,
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
    execution: how the experts are run, their precision for one. None: in
      float32, or as a bundle of before says, which kept it.

  Raises:
    UserError: there is no such bundle, or it is broken; the mesh does not fit
      the devices or the experts; or the batch size is below 1.
  """
  compilation.use_cache()
  return Siren(bundles.load(model, execution), mesh, batch_size)
