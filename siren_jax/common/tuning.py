"""What is tuned to a kind of device: all of it, and nothing else, is here.

No setting changes what is computed by more than rounding. The devices of the
mesh choose, so that a program that is compiled for others is tuned to those;
without a mesh, the devices of this process.
"""

import dataclasses
import re
from typing import Any, Literal

import jax


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
  """Settings for one kind of device.

  Attributes:
    dtype: of the experts where a sound is made and nobody asks for another.
    cache_blocks: blocks of a key-value cache. A frame reads those up to its
      own, which takes a branch: a GPU would wait for its host.
    single_row_axis: a batch of one is an axis of size one in the loop over
      frames; on a CPU, XLA would copy caches that have one every frame.
    bisect: find the threshold of top-k and top-p bit by bit, in a loop of 32
      turns; else compare each code with each other, in one sum.
    draw_group: codes, in a draw, that are summed first by group and then in the
      group chosen; about the root of their number. 0: the running sums of all
      at once, in one kernel.
    sequential_experts: run the experts of one device one after the other: a
      batched product on a CPU takes 2.3 times as long as so many plain ones.
    ffn_barrier: keep XLA from computing the hidden values of a SwiGLU again,
      transposed, for the gradient of the kernel below.
    attention: implementation of `jax.nn.dot_product_attention` along time, on
      one device, where it takes the shape; None: ours.
    fused_rows: up to so many rows a frame is made of the kernels in
      `sampling/gpu`; 0: never. Weights are packed for them.
    compiler_options: of training and alignment steps.
  """

  dtype: str
  cache_blocks: int
  single_row_axis: bool
  bisect: bool
  draw_group: int
  sequential_experts: bool
  ffn_barrier: bool
  attention: Literal["xla", "cudnn"] | None
  fused_rows: int
  compiler_options: dict[str, Any] = dataclasses.field(default_factory=dict)


# What each is worth: docs/scaling.md and docs/benchmarks.md.
#
# Products by Eigen; those of YNNPACK, to which XLA hands them from jax 0.9 on,
# make a Stage-1 step a tenth slower. Sums stay with YNNPACK.
_CPU_OPTIONS = (
  {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
  if jax.__version_info__ >= (0, 9)
  else {}
)
_TPU_OPTIONS = {
  # A product whose matrix is shared out over fsdp is left whole: cut up so that
  # parts of the matrix can travel meanwhile, the sums go through memory three
  # times as often.
  "xla_jf_spmd_threshold_for_windowed_einsum_mib": 1_000_000,
  # A gradient is laid out so that its sum can be scattered along any axis; else
  # every device gets the whole sum of most and keeps its part.
  "xla_tpu_use_minor_sharding_for_major_trivial_input": True,
  "xla_tpu_relayout_group_size_threshold_for_reduce_scatter": 1,
  "xla_tpu_assign_all_reduce_scatter_layout": True,
}

CPU = Tuning(
  dtype="float32",
  cache_blocks=4,
  single_row_axis=False,
  bisect=True,
  draw_group=32,
  sequential_experts=True,
  ffn_barrier=True,
  attention=None,
  fused_rows=0,
  compiler_options=_CPU_OPTIONS,
)
GPU = Tuning(
  dtype="bfloat16",
  cache_blocks=1,
  single_row_axis=True,
  bisect=False,
  draw_group=0,
  sequential_experts=False,
  ffn_barrier=False,
  attention="cudnn",
  fused_rows=8,
)
TPU = Tuning(
  dtype="bfloat16",
  cache_blocks=4,
  single_row_axis=True,
  bisect=False,
  draw_group=0,
  sequential_experts=False,
  ffn_barrier=False,
  attention=None,
  fused_rows=0,
  compiler_options=_TPU_OPTIONS,
)


# Without bfloat16, or without proof that the kernels compile for it.
OTHER_GPU = dataclasses.replace(
  GPU, dtype="float32", attention=None, fused_rows=0
)
# From NVIDIA's Ampere (2020) on.
_NEW_GPUS = re.compile(
  r"\b(A10G?|A30|A40|A100|L4|L40S?|G?H[12]00|G?B[123]00|RTX [345]0\d0"
  r"|RTX A\d+|RTX \d000 Ada)\b"
)


def current() -> Tuning:
  """For the devices of the mesh, or of this process."""
  match kind():
    case "cpu":
      return CPU
    case "tpu":
      return TPU
  return GPU if _NEW_GPUS.search(_name()) else OTHER_GPU


def kind() -> str:
  """Of the devices of the mesh, or of this process: cpu, gpu or tpu."""
  name = _name().lower().partition(" ")[0]
  return name if name in ("cpu", "tpu") else "gpu"


def _name() -> str:
  device = jax.sharding.get_abstract_mesh().abstract_device
  return (device or jax.devices()[0]).device_kind
