"""What a TPU chip can do, by the figures that its maker publishes.

cloud.google.com/tpu/docs, pages "TPU v5e", "TPU v5p", "TPU v6e"; read in
November 2026.
"""

import dataclasses
import math
import re

from siren_jax.common.errors import UserError

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """Limits of one chip.

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
  """A slice of chips such as "v5e:4x4"."""

  name: str
  chip: Chip
  sizes: tuple[int, ...]

  @property
  def count(self) -> int:
    return math.prod(self.sizes)

  @property
  def bandwidth(self) -> float:
    """Bytes a second that a chip receives in a collective along one axis.

    Both ways around where the axis is a ring, else one: a careful estimate,
    as collectives over several axes of the slice have more links.
    """
    ring = all(size % self.chip.ring == 0 for size in self.sizes)
    return self.chip.link * (2 if ring else 1)


def topology(name: str) -> Topology:
  """Reads "v5e:4x4".

  Raises:
    UserError: another form, or a chip that is not known.
  """
  kind, _, sizes = name.partition(":")
  if kind not in CHIPS or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", sizes):
    raise UserError(
      f"topology {name!r}: expected CHIP:AxB or CHIP:AxBxC, such as v5e:4x4 or"
      f" v5p:4x4x4; chips: {', '.join(CHIPS)}"
    )
  return Topology(name, CHIPS[kind], tuple(map(int, sizes.split("x"))))
