"""Limits of NVIDIA GPUs, and their description for XLA's compiler.

The limits are those that NVIDIA publishes (data sheets of the A100 80GB SXM,
H100 SXM, H200 and HGX B200; without sparsity); the rest of a description is
what the CUDA driver reports for the card, as collected in openxla/xla,
`xla/backends/gpu/target_config/specs`; read in November 2026.
"""

import dataclasses

MAX_GPUS = 8  # that NVLink joins in one machine

_DESCRIPTION = """\
gpu_device_info {{
  cuda_compute_capability {{ major: {generation} }}
  core_count: {cores}
  fpus_per_core: {fpus}
  clock_rate_ghz: {clock}
  threads_per_core_limit: 2048
  threads_per_block_limit: 1024
  threads_per_warp: 32
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_core: {shared}
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: {shared_by_block}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  l2_cache_size: {cache}
  memory_bandwidth: {bandwidth:.0f}
  device_memory_size: {memory}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{title}"
"""


@dataclasses.dataclass(frozen=True)
class Gpu:
  """Limits of one card.

  Attributes:
    title: as the driver names it.
    memory: bytes that a program sees.
    flops: bfloat16 operations a second.
    bandwidth: bytes a second between memory and chip.
    link: bytes a second through NVLink, one way.
    generation: major number of its compute capability.
    cores: streaming multiprocessors. fpus: of each. clock: GHz.
    shared: bytes of each for all its blocks. shared_by_block: for one.
    cache: bytes of level 2.
  """

  title: str
  memory: int
  flops: float
  bandwidth: float
  link: float
  generation: int
  cores: int
  fpus: int
  clock: float
  shared: int
  shared_by_block: int
  cache: int

  @property
  def target(self) -> str:
    """XLA's GpuTargetConfig of the card, in protobuf's text format."""
    return _DESCRIPTION.format(**dataclasses.asdict(self))


GPUS = {
  "a100": Gpu(
    "NVIDIA A100-SXM4-80GB", 85_100_068_864, 312e12, 2039e9, 300e9,
    generation=8, cores=108, fpus=64, clock=1.41,
    shared=167_936, shared_by_block=166_912, cache=41_943_040,
  ),
  "h100": Gpu(
    "NVIDIA H100 80GB HBM3", 84_942_979_072, 989e12, 3352e9, 450e9,
    generation=9, cores=132, fpus=128, clock=1.98,
    shared=233_472, shared_by_block=232_448, cache=52_428_800,
  ),
  "h200": Gpu(
    "NVIDIA H200 141GB HBM3e", 151_397_597_184, 989e12, 4800e9, 450e9,
    generation=9, cores=132, fpus=128, clock=1.98,
    shared=233_472, shared_by_block=232_448, cache=52_428_800,
  ),
  "b200": Gpu(
    "NVIDIA B200", 191_514_411_008, 2250e12, 7672e9, 900e9,
    generation=10, cores=148, fpus=128, clock=1.965,
    shared=233_472, shared_by_block=232_448, cache=132_644_864,
  ),
}  # fmt: skip
