"""Limits and topologies of the chips that programs are compiled for.

TPUs by the figures that Google publishes: cloud.google.com/tpu/docs, pages
"TPU v5e", "TPU v5p", "TPU v6e"; read in November 2026. GPUs are in `gpus.py`.
"""

import dataclasses
import math
import re

from siren_jax.common.errors import UserError
from siren_jax.scaling.gpus import GPUS, MAX_GPUS, Gpu

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """Limits of one TPU chip.

  Attributes:
    memory: bytes of HBM.
    flops: bfloat16 operations a second.
    bandwidth: bytes a second between HBM and chip.
    link: bytes a second through one of its links, one way.
    ring: chips along an axis of a slice at which its ends are linked.
  """

  memory: int
  flops: float
  bandwidth: float
  link: float
  ring: int


CHIPS = {
  "v5e": Chip(16 * GIB, 197e12, 819e9, 50e9, ring=16),
  "v5p": Chip(95 * GIB, 459e12, 2765e9, 100e9, ring=4),
  "v6e": Chip(32 * GIB, 918e12, 1638e9, 100e9, ring=16),
}


@dataclasses.dataclass(frozen=True)
class Topology:
  """A slice of TPUs such as "v5e:4x4", or GPUs of one machine, "h100:8"."""

  name: str
  chip: Chip | Gpu
  sizes: tuple[int, ...]

  @property
  def platform(self) -> str:
    """As JAX names it."""
    return "gpu" if isinstance(self.chip, Gpu) else "tpu"

  @property
  def count(self) -> int:
    return math.prod(self.sizes)

  @property
  def bandwidth(self) -> float:
    """Bytes per second that a chip receives in a collective along one axis.

    On TPUs, in both directions if the axis is a ring, otherwise in one. This is
    conservative: collectives over several axes of the slice have more links.
    """
    if isinstance(self.chip, Gpu):
      return self.chip.link
    ring = all(size % self.chip.ring == 0 for size in self.sizes)
    return self.chip.link * (2 if ring else 1)


def topology(name: str) -> Topology:
  """Reads "v5e:4x4" or "h100:1".

  Raises:
    UserError: another form, a chip that is not known, or too many GPUs.
  """
  kind, _, sizes = name.partition(":")
  if kind in CHIPS and re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", sizes):
    return Topology(name, CHIPS[kind], tuple(map(int, sizes.split("x"))))
  if kind in GPUS and re.fullmatch(rf"[1-{MAX_GPUS}]", sizes):
    return Topology(name, GPUS[kind], (int(sizes),))
  raise UserError(
    f"topology {name!r}: expected CHIP:AxB or CHIP:AxBxC, such as v5e:4x4 or"
    f" v5p:4x4x4, or GPU:N with up to {MAX_GPUS} in one machine, such as"
    f" h100:1; chips: {', '.join(CHIPS)}; GPUs: {', '.join(GPUS)}"
  )
