"""Parser of compiled programs: computations and how often they run.

XLA's own cost analysis counts the body of a loop once; here it counts once per
iteration.
"""

import copy
import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping

COLLECTIVES = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
)
FUSIONS = ("fusion", "fusion-start")
# These neither read nor write: they refer to results of others.
FREE = {
  "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while",
  "conditional", "call", "opt-barrier", "after-all", "partition-id",
  "replica-id",
}  # fmt: skip
_HEAD = re.compile(r"^(ENTRY )?%([\w.-]+) \(")
_LINE = re.compile(
  r"^\s+(ROOT )?%([\w.-]+) = (.+?) ([a-z][\w-]*)\((.*?)\)(?:, (.*))?$"
)
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\](?:\{([^}]*)\})?")
_CALLED = re.compile(r"\b(?:calls|body|called_computations)=\{?%([\w.-]+)")
_EITHER = re.compile(r"\b(?:true|false)_computation=%([\w.-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_APPLIED = re.compile(r"\bto_apply=%([\w.-]+)")
_CONDITION = re.compile(r"\bcondition=%([\w.-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_BITS = re.compile(r"\d+")
_IN_VMEM = "S(1)"  # a layout of on-chip memory


@dataclasses.dataclass(frozen=True)
class Array:
  """Type, sizes and memory space of one array."""

  dtype: str
  shape: tuple[int, ...]
  on_chip: bool

  @functools.cached_property
  def size(self) -> int:
    return math.prod(self.shape)

  @property
  def bytes(self) -> int:
    bits = _BITS.search(self.dtype)
    return self.size * (int(bits[0]) if bits else 8) // 8


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a computation.

  Attributes:
    kind: its opcode. results: arrays that it makes. operands: names.
    attributes: the rest of the line. root: whether it is the result.
  """

  name: str
  kind: str
  results: tuple[Array, ...]
  operands: tuple[str, ...]
  attributes: str
  root: bool

  def called(self) -> list[str]:
    """Computations that run inside it, except reduction functions."""
    if self.kind == "call":
      return _APPLIED.findall(self.attributes)
    return self.branches() + _CALLED.findall(self.attributes)

  def trip_count(self) -> int | None:
    """Trip count of a loop, if the compiler knows it."""
    known = _TRIPS.search(self.attributes)
    return int(known[1]) if known else None

  def condition(self) -> str:
    """The computation that says whether a loop goes on."""
    (name,) = _CONDITION.findall(self.attributes)
    return name

  def branches(self) -> list[str]:
    """Computations of which one runs."""
    match = _BRANCHES.search(self.attributes)
    names = match[1] if match else ",".join(_EITHER.findall(self.attributes))
    return re.findall(r"[\w.-]+", names)


Computation = dict[str, Instruction]


class Program:
  """Computations by name, and how often each of them runs.

  Attributes:
    computations: instructions by their names.
    fused: names of those that are the body of one operation.
    times: runs of each computation in one run of the program; branches of a
      condition are assumed to run equally often.
    unknown_loops: loops of unknown length; they count once.
  """

  def __init__(self, text: str):
    self.computations, entry = _parse(text)
    self.fused = {
      name
      for computation in self.computations.values()
      for instruction in computation.values()
      if instruction.kind in FUSIONS
      for name in instruction.called()
    }
    self._count(entry)

  def part(self, name: str) -> "Program":
    """One run of a computation, such as one iteration of a loop."""
    part = copy.copy(self)
    part._count(name)
    return part

  def _count(self, entry: str) -> None:
    self.times: dict[str, float] = dict.fromkeys(self.computations, 0)
    self.unknown_loops = 0
    self._run(entry, 1)

  def instructions(self) -> Iterator[tuple[float, str, Instruction]]:
    """All instructions that run: (times, computation, instruction)."""
    for name, computation in self.computations.items():
      if self.times[name]:
        for instruction in computation.values():
          yield self.times[name], name, instruction

  def collectives(self) -> Iterator[tuple[float, str, Instruction]]:
    """The collectives among `instructions`."""
    for times, name, instruction in self.instructions():
      if instruction.kind.removesuffix("-start") in COLLECTIVES:
        yield times, name, instruction

  def _run(self, name: str, times: float) -> None:
    self.times[name] += times
    for instruction in self.computations[name].values():
      trip_count: float = (
        self._trip_count(instruction) if instruction.kind == "while" else 1
      )
      if branches := instruction.branches():
        trip_count = 1 / len(branches)
      for called in instruction.called():
        self._run(called, times * trip_count)

  def _trip_count(self, loop: Instruction) -> int:
    """Trip count of a loop: from the compiler, or its only constant.

    Loops count by one up to a constant in their condition.
    """
    if known := loop.trip_count():
      return known
    condition = self.computations[loop.condition()]
    limits = [
      int(i.operands[0])
      for i in condition.values()
      if i.kind == "constant" and i.operands[0].isdigit()
    ]
    if len(limits) == 1:
      return limits[0]
    self.unknown_loops += 1
    return 1


def arrays(text: str) -> tuple[Array, ...]:
  """The arrays of a type as HLO writes it."""
  return tuple(
    Array(
      dtype,
      tuple(int(n) for n in sizes.split(",") if n),
      _IN_VMEM in layout,
    )
    for dtype, sizes, layout in _ARRAY.findall(text)
  )


def _parse(text: str) -> tuple[Mapping[str, Computation], str]:
  computations: dict[str, Computation] = {}
  entry, current = "", Computation()
  for line in text.splitlines():
    if head := _HEAD.match(line):
      current = computations.setdefault(head[2], {})
      entry = head[2] if head[1] else entry
    elif match := _LINE.match(line):
      root, name, shape, kind, operands, rest = match.groups()
      known = (
        [operands] if kind in ("constant", "parameter") else
        re.findall(r"%([\w.-]+)", operands)
      )  # fmt: skip
      current[name] = Instruction(
        name, kind, arrays(shape), tuple(known), rest or "", bool(root)
      )
  return computations, entry
