"""All settings that are tuned to a kind of device.

No setting changes results by more than rounding. They depend on the devices of
the mesh, so that a program compiled for other devices is tuned to those;
without a mesh, on the devices of this process.
"""

import dataclasses
import re
from typing import Any, Literal

import jax


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
  """Settings for one kind of device.

  Attributes:
    dtype: default type of the experts when generating sounds.
    cache_blocks: blocks of a key-value cache. A frame reads those up to its
      own, which needs a branch: a GPU would wait for its host.
    single_row_axis: whether a batch of one keeps its axis in the loop over
      frames; on a CPU, XLA would copy caches with this axis every frame.
    bisect: find the threshold of top-k and top-p bit by bit, in a loop of 32
      iterations; otherwise compare all pairs of codes, in one sum.
    draw_group: group size of codes in a draw, which first sums groups, then
      codes of the chosen group; about the root of their number. 0: cumulative
      sums of all codes at once, in one kernel.
    sequential_experts: run the experts of a device sequentially: on a CPU, a
      batched product takes 2.3 times as long as separate ones.
    ffn_barrier: keep XLA from recomputing the hidden values of a SwiGLU,
      transposed, for the gradient of its output kernel.
    attention: implementation of `jax.nn.dot_product_attention` along time, on
      one device, for shapes that it supports; None: ours.
    fused_rows: most rows for which the kernels in `sampling/gpu` make a frame;
      0: never. Weights are packed for them.
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


# Measurements: docs/scaling.md and docs/benchmarks.md.
#
# Products use Eigen: those of YNNPACK, XLA's default since jax 0.9, make a
# Stage-1 step a tenth slower. Sums stay with YNNPACK.
_CPU_OPTIONS = (
  {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
  if jax.__version_info__ >= (0, 9)
  else {}
)
_TPU_OPTIONS = {
  # Products with matrices sharded over fsdp are not split: splitting them to
  # overlap communication sends their sums through memory three times as often.
  "xla_jf_spmd_threshold_for_windowed_einsum_mib": 1_000_000,
  # Gradients are laid out so that their sums can be scattered along any axis;
  # otherwise each device gets the whole sum of most and keeps its part.
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


# GPUs without bfloat16, or for which the kernels are untested.
OTHER_GPU = dataclasses.replace(
  GPU, dtype="float32", attention=None, fused_rows=0
)
# NVIDIA GPUs since Ampere (2020). By name: described devices have no more.
_NEW_GPUS = re.compile(
  r"\b(A2|A10G?|A16|A30|A40|A[18]00|L2|L4|L20|L40S?|G?H[128]00|H20|G?B[123]00"
  r"|GB10|Orin|Thor|RTX [345]0\d0|RTX A\d+|RTX \d000 Ada|RTX PRO \d+)\b"
)


def current() -> Tuning:
  """Tuning for the devices of the mesh, or of this process."""
  match kind():
    case "cpu":
      return CPU
    case "tpu":
      return TPU
  return GPU if _NEW_GPUS.search(_name()) else OTHER_GPU


def kind() -> str:
  """Kind of the devices of the mesh, or of this process: cpu, gpu or tpu."""
  name = _name().lower().partition(" ")[0]
  return name if name in ("cpu", "tpu") else "gpu"


def _name() -> str:
  device = jax.sharding.get_abstract_mesh().abstract_device
  return (device or jax.devices()[0]).device_kind
