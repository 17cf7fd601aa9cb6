"""The one place that names mesh axes and defines what is sharded over them.

Parameters carry logical axis names (`nn.with_logical_partitioning`); `RULES`
maps those to mesh axes. Everything runs under `jax.set_mesh` of a mesh with
Auto axes: under `with mesh:` constraints are silently inert, and Explicit
axes, the default of `jax.make_mesh`, break logical partitioning.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import (
  AbstractMesh,
  AxisType,
  Mesh,
  NamedSharding,
  PartitionSpec,
)

from siren_jax.common.errors import UserError
from siren_jax.common.shards import Shard, block_size

DATA, EXPERT, FSDP, MODEL = "data", "expert", "fsdp", "model"
# Outermost first: the axes that communicate most (fsdp, model) are on adjacent
# devices.
AXES = (DATA, EXPERT, FSDP, MODEL)

# Logical name -> mesh axis. Within one array, a mesh axis is used once, by the
# first matching rule.
RULES = (
  ("batch", (DATA, FSDP)),
  ("expert", EXPERT),
  ("policy", None),  # The few experts that are aligned, on every device.
  ("embed", FSDP),
  ("mlp", MODEL),
  ("heads", MODEL),
  ("kv_heads", MODEL),
  ("vocab", MODEL),
  ("layers", None),
  ("feature", None),
  ("prompt", FSDP),
  ("embed_vector", None),  # biases and norms: too small to shard
)


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """Devices along each mesh axis; -1 (at most once) takes what is left."""

  data: int = -1
  expert: int = 1
  fsdp: int = 1
  model: int = 1

  def __post_init__(self) -> None:
    sizes = dataclasses.astuple(self)
    if any(s < 1 and s != -1 for s in sizes) or sizes.count(-1) > 1:
      raise UserError(
        f"mesh sizes {sizes}: expected counts of at least 1, at most one of"
        " them -1 (the remaining devices)"
      )


def make_mesh(
  config: MeshConfig, devices: Sequence[jax.Device] | None = None
) -> Mesh:
  """Mesh of Auto axes (data, expert, fsdp, model) over all `devices`.

  Raises:
    UserError: the sizes do not multiply to the number of devices.
  """
  devices = jax.devices() if devices is None else list(devices)
  sizes = [getattr(config, axis) for axis in AXES]
  fixed = math.prod(s for s in sizes if s != -1)
  shape = [len(devices) // fixed if s == -1 else s for s in sizes]
  if math.prod(shape) != len(devices):
    named = ", ".join(f"{a}={s}" for a, s in zip(AXES, sizes, strict=True))
    raise UserError(
      f"mesh {named} does not fill {len(devices)} device(s); make the sizes"
      " multiply to that number, or set one of them to -1"
    )
  types = (AxisType.Auto,) * len(AXES)
  # On a 4x4x4 torus, an axis of 32 devices spans more than two physical axes.
  placed = mesh_utils.create_device_mesh(
    shape, devices, allow_split_physical_axes=True
  )
  return Mesh(placed, AXES, axis_types=types)


def logical_spec(*names: str | None) -> PartitionSpec:
  """Mesh axes of an array whose axes carry these logical names.

  Raises:
    ValueError: a name that is not in `RULES`.
  """
  known = [name for name, _ in RULES]
  for name in names:
    if name is not None and name not in known:
      raise ValueError(f"unknown logical axis {name!r}; known: {known}")
  spec = nn.logical_to_mesh_axes(names, RULES)
  assert spec is not None  # None only if `names` is None
  return spec


def constrain(x: jax.Array, *names: str | None) -> jax.Array:
  """Constrains the sharding of x by `names`; no effect without a mesh."""
  if jax.sharding.get_abstract_mesh().empty:
    return x
  return jax.lax.with_sharding_constraint(x, logical_spec(*names))


def is_single_device() -> bool:
  """Whether the mesh has one device, or there is no mesh."""
  mesh = jax.sharding.get_abstract_mesh()
  return mesh.empty or mesh.size == 1


def expert_ways() -> int:
  """Number of groups of devices that the experts are divided over."""
  mesh = jax.sharding.get_abstract_mesh()
  return 1 if mesh.empty else mesh.shape[EXPERT]


def has_all_heads() -> bool:
  """Whether each device has all heads of its experts."""
  mesh = jax.sharding.get_abstract_mesh()
  return mesh.empty or mesh.shape[MODEL] == 1


def by_rows(function: Callable, *arrays: jax.Array) -> jax.Array:
  """`function(*arrays)`, applied by each device to its own rows of the batch.

  For row-wise functions that the partitioner would replicate on every device,
  such as FFTs (measured, jax 0.10.2).
  """
  mesh, rows = jax.sharding.get_abstract_mesh(), logical_spec("batch")
  ways = 1 if mesh.empty else batch_ways(mesh)
  if ways == 1 or len(arrays[0]) % ways:
    return function(*arrays)
  return jax.shard_map(function, in_specs=rows, out_specs=rows)(*arrays)


def on_devices(
  function: Callable, num_rows: int, in_axes: Any, out_axes: Any
) -> Callable:
  """`function`, run by each device for its own rows and experts.

  Weights are gathered over fsdp once; only the model axis is left to the
  partitioner.

  Args:
    num_rows: of the batch; if they cannot be divided over the devices, each
      device has all of them.
    in_axes: for each argument, the logical names of its leading axes as a
      `PartitionSpec`, which applies to all leaves of a tree, or a tree of them.
    out_axes: of the result.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.size == 1:
    return function
  divided = num_rows % batch_ways(mesh) == 0

  def spec(names: PartitionSpec) -> PartitionSpec:
    return logical_spec(
      *(None if n == "batch" and not divided else n for n in names)
    )

  def specs(axes: Any) -> Any:
    return jax.tree.map(
      spec, axes, is_leaf=lambda x: isinstance(x, PartitionSpec)
    )

  return jax.shard_map(
    function,
    in_specs=specs(in_axes),
    out_specs=specs(out_axes),
    axis_names={DATA, EXPERT, FSDP},
    check_vma=False,
  )


def from_experts_of(holder: int, values: Any) -> Any:
  """Within `on_devices`: values of device `holder` along the expert axis."""
  mine = jax.lax.axis_index(EXPERT) == holder
  return jax.lax.psum(
    jax.tree.map(lambda x: jnp.where(mine, x, 0), values), EXPERT
  )


def state_shardings(abstract_state: Any, mesh: Mesh) -> Any:
  """Sharding of every array of a tree, in the structure of its unboxed form.

  Args:
    abstract_state: a tree from `jax.eval_shape`; leaves boxed with Linen
      logical metadata follow `RULES`, the others are replicated.
    mesh: the mesh.

  Raises:
    UserError: an axis of a parameter does not divide among its devices.
  """

  def sharding(path: Any, leaf: Any) -> NamedSharding:
    if not _is_boxed(leaf):
      return NamedSharding(mesh, PartitionSpec())
    spec = logical_spec(*leaf.names)
    _check_divides(jax.tree_util.keystr(path), leaf.value.shape, spec, mesh)
    return NamedSharding(mesh, spec)

  return jax.tree_util.tree_map_with_path(
    sharding, abstract_state, is_leaf=_is_boxed
  )


def placed(abstract_state: Any, mesh: Mesh) -> Any:
  """The tree of `state_shardings` as shapes and types with shardings."""
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    nn.unbox(abstract_state),
    state_shardings(abstract_state, mesh),
  )


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Leading axis over data and fsdp, other axes unsharded."""
  return NamedSharding(mesh, logical_spec("batch"))


def batch_ways(mesh: Mesh | AbstractMesh) -> int:
  """Number of devices, or groups of them, that rows are divided over."""
  return mesh.shape[DATA] * mesh.shape[FSDP]


def replicated(mesh: Mesh) -> NamedSharding:
  """Sharding with the whole array on each device."""
  return NamedSharding(mesh, PartitionSpec())


def process_shard(mesh: Mesh) -> Shard:
  """The rows of a batch that the devices of this process hold."""
  ways = batch_ways(mesh)
  places = batch_sharding(mesh).addressable_devices_indices_map((ways,))
  blocks = {index[0].start or 0 for index in places.values() if index}
  return Shard(tuple(sorted(blocks)), ways)


def shard_batch(
  batch: Mapping[str, np.ndarray], mesh: Mesh
) -> dict[str, jax.Array]:
  """Host arrays of our `process_shard(mesh)` to global arrays [B, ...].

  Raises:
    UserError: the batch does not divide among the devices.
  """
  shard = process_shard(mesh)
  sharding = batch_sharding(mesh)

  def place(value: np.ndarray) -> jax.Array:
    size = block_size(len(value), len(shard.blocks))

    def block(index: tuple[slice, ...] | None) -> np.ndarray:
      start = (index[0].start or 0) if index else 0
      ours = shard.blocks.index(start // size) * size
      return value[ours : ours + size]

    shape = (shard.count * size, *value.shape[1:])
    return jax.make_array_from_callback(shape, sharding, block)

  return {name: place(np.asarray(value)) for name, value in batch.items()}


def own_rows(array: jax.Array) -> np.ndarray:
  """Rows of this process, on the host: the inverse of `shard_batch`.

  Args:
    array: with `batch_sharding`.
  """
  blocks = {
    shard.index[0].start or 0: shard.data for shard in array.addressable_shards
  }
  return np.concatenate(jax.device_get([blocks[i] for i in sorted(blocks)]))


def put(values: Any) -> Any:
  """Puts host arrays and numbers on each device of the mesh, or the only one.

  Inputs of programs go through here, so that there are no implicit uploads
  (`jax.transfer_guard`).
  """
  if jax.sharding.get_abstract_mesh().empty:
    return jax.device_put(values)
  return jax.device_put(values, replicated(jax.sharding.get_mesh()))


def with_values(boxed: Any, values: Any) -> Any:
  """`boxed` with the leaves of `values`; logical metadata is kept."""
  if not isinstance(values, Mapping):
    return nn.meta.replace_boxed(boxed, jnp.asarray(values))
  return {
    key: with_values(tree, values[key]) if key in values else tree
    for key, tree in boxed.items()
  }


def _is_boxed(leaf: Any) -> bool:
  return isinstance(leaf, nn.LogicallyPartitioned)


def _check_divides(
  name: str, shape: tuple[int, ...], spec: PartitionSpec, mesh: Mesh
) -> None:
  for size, axes in zip(shape, spec, strict=False):
    axes = () if axes is None else (axes,) if isinstance(axes, str) else axes
    ways = math.prod(mesh.shape[a] for a in axes)
    if size % ways:
      raise UserError(
        f"parameter {name}: an axis of size {size} cannot be split evenly over"
        f" the {ways} devices of mesh axis {'+'.join(axes)}; choose a mesh size"
        " that divides it"
      )
