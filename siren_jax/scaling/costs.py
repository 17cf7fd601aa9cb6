"""Operations, memory traffic and communication of a program on one device."""

import dataclasses
import math
import re
from collections import defaultdict
from typing import Any

from siren_jax.scaling.hlo import (
  COLLECTIVES,
  FREE,
  FUSIONS,
  Array,
  Computation,
  Instruction,
  Program,
)

_MESH_GROUPS = re.compile(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}")
_MESH_AXIS = re.compile(r"'(\w+)'(?::\(\d+\)(\d+))?")  # all of it, or a part
_CHAIN = re.compile(r'chain_id="(\d+)"')
_CONTRACTED = r'lhs_contracting_dim\w*"?[=:][\[{]([\d,"]*)'
# Products that GPU programs delegate to a library.
_LIBRARY = re.compile(r'custom_call_target="__(cublas|cudnn\$conv)')
_SLICES = ("dynamic-slice", "slice", "gather")
# The start operations of these have their operands among their results.
_WITH_OPERANDS = ("all-gather", "collective-permute")


@dataclasses.dataclass(frozen=True)
class Collective:
  """Operations of one kind and size.

  Attributes:
    devices: that communicate. sent: bytes that a device receives each time,
      with ring algorithms: an all-reduce sends twice as much as a gather.
    times: number of runs; fractional in one of several branches.
  """

  kind: str
  devices: int
  sent: int
  times: float


@dataclasses.dataclass(frozen=True)
class Costs:
  """Attributes:
  flops: of products and convolutions. bytes: between HBM and chip.
  collectives: largest first. unknown_loops: counted once, see `hlo.Program`.
  """

  flops: int
  bytes: int
  collectives: tuple[Collective, ...]
  unknown_loops: int

  @property
  def sent(self) -> int:
    """Bytes that a device receives from others."""
    return round(sum(c.sent * c.times for c in self.collectives))


def of(text: str) -> Costs:
  """Costs of a program on one of its devices, from the text of its HLO."""
  return of_program(Program(text))


def of_program(program: Program) -> Costs:
  """Like `of`, for a parsed program or a part of one."""
  flops: float = 0
  moved: float = 0
  for times, name, instruction in program.instructions():
    computation = program.computations[name]
    flops += times * _flops(instruction, computation)
    if name not in program.fused:
      moved += times * _moved(instruction, computation, program)
  largest = sorted(_collectives(program), key=lambda c: -c.sent * c.times)
  return Costs(
    round(flops), round(moved), tuple(largest), program.unknown_loops
  )


def _moved(
  instruction: Instruction, computation: Computation, program: Program
) -> int:
  """Bytes read from and written to HBM."""
  if instruction.kind in FREE or instruction.kind.endswith("-done"):
    return 0
  read = [_result(computation, name) for name in instruction.operands]
  written = sum(_hbm(a) for a in instruction.results)
  kind, started, _ = instruction.kind.partition("-start")
  if started and kind != "fusion" and kind not in COLLECTIVES:
    # An asynchronous copy, of all or of a slice: both ends are results.
    ends = [a for a in instruction.results if a.size > 1]
    size = min((a.bytes for a in ends), default=0)
    return size * sum(not a.on_chip for a in ends)
  if started and kind in _WITH_OPERANDS:
    return written
  if kind in _SLICES:
    part = sum(a.bytes for a in instruction.results)
    return written + min(part, sum(_hbm(a) for a in read[0]))
  if kind == "dynamic-update-slice":
    part = sum(a.bytes for a in read[1])
    return sum(_hbm(a) for a in read[1]) + min(part, written)
  if _LIBRARY.search(instruction.attributes):
    written = _hbm(instruction.results[0])  # The rest is workspace.
  if instruction.kind == "custom-call":
    written -= sum(_hbm(a) for a in _in_place(instruction))
  if instruction.kind not in FUSIONS:
    return written + sum(_hbm(a) for arrays in read for a in arrays)
  inside = program.computations[instruction.called()[0]]
  parameters = {
    int(i.operands[0]): i for i in inside.values() if i.kind == "parameter"
  }
  total = 0
  for number, arrays in enumerate(read):
    used = _part(parameters[number], inside)
    whole = sum(_hbm(a) for a in arrays)
    total += whole if used is None else min(used, whole)
  root = next(i for i in inside.values() if i.root)
  return total + min(written, _written(root, inside))


def _in_place(instruction: Instruction) -> list[Array]:
  """Results of a kernel that alias an operand: little of each is written."""
  match = re.search(
    r"output_to_operand_aliasing=\{(.*?)\}\}?(?:, |$)", instruction.attributes
  )
  numbers = re.findall(r"\{(\d*)\}: \(", match[0]) if match else []
  return [instruction.results[int(number or 0)] for number in numbers]


def _part(parameter: Instruction, inside: Computation) -> int | None:
  """Bytes of a fusion's operand that are read; None: all of it."""
  users = [i for i in inside.values() if parameter.name in i.operands]
  total = 0
  for user in users:
    if user.kind in _SLICES and user.operands[0] == parameter.name:
      total += sum(a.bytes for a in user.results)
    elif user.kind == "dynamic-update-slice" and (
      user.operands[0] == parameter.name
    ):
      continue  # Overwritten in place.
    elif user.kind == "bitcast":
      inner = _part(user, inside)
      if inner is None:
        return None
      total += inner
    else:
      return None
  return total


def _written(result: Instruction, inside: Computation) -> int:
  """Bytes that a fusion writes: for an in-place update, only the update."""
  if result.kind == "tuple":
    return sum(_written(inside[name], inside) for name in result.operands)
  while result.kind in ("bitcast", "copy"):
    result = inside[result.operands[0]]
  if result.kind == "dynamic-update-slice":
    result = inside[result.operands[1]]
  return sum(a.bytes for a in result.results)


def _hbm(array: Array) -> int:
  return 0 if array.on_chip else array.bytes


def _result(computation: Computation, name: str) -> tuple[Array, ...]:
  return computation[name].results if name in computation else ()


def _collectives(program: Program) -> list[Collective]:
  """All collectives, summed by kind and size."""
  chains: dict[Any, tuple[list[tuple[str, int, int]], float]] = {}
  for times, name, instruction in program.collectives():
    kinds = _collective(instruction, program.computations[name])
    # A collective spread over several fusions is a chain of instructions.
    chain = _CHAIN.search(instruction.attributes)
    chains[chain[1] if chain else (name, instruction.name)] = kinds, times
  summed: dict[tuple[str, int, int], float] = defaultdict(int)
  for kinds, times in chains.values():
    for key in kinds:
      summed[key] += times
  return [Collective(*key, times) for key, times in summed.items()]


def _collective(
  instruction: Instruction, computation: Computation
) -> list[tuple[str, int, int]]:
  """Kind, devices and bytes received of a collective, or of its two kinds."""
  kind, started, _ = instruction.kind.partition("-start")
  devices = _group(instruction.attributes)
  share = (devices - 1) / devices
  read = [
    sum(a.bytes for a in _result(computation, name))
    for name in instruction.operands
  ]
  match kind:
    case "collective-permute":
      return [(kind, devices, sum(read))]
    case "all-gather":
      gathered = sum(a.bytes for a in instruction.results)
      gathered -= sum(read) if started else 0
      return [(kind, devices, round(gathered * share))]
    case "all-reduce":
      # If only slices are kept, a TPU runs one fusion that scatters them.
      slices = _sliced(instruction, computation)
      parts = sum(size for n, size in enumerate(read) if n in slices)
      rest = sum(read) - parts
      both = [
        ("reduce-scatter", devices, round(parts * share)),
        ("all-reduce", devices, round(2 * rest * share)),
      ]
      return [each for each in both if each[-1]]
  return [(kind, devices, round(sum(read) * share))]


def _sliced(instruction: Instruction, computation: Computation) -> set[int]:
  """Numbers of the results of which nothing but a slice is kept."""
  if len(instruction.results) == 1:
    return {0} if _only_sliced(instruction.name, computation) else set()
  elements = {
    i.name: int(_matched(r"index=(\d+)", i.attributes)[1])
    for i in computation.values()
    if i.kind == "get-tuple-element" and instruction.name in i.operands
  }
  return {n for name, n in elements.items() if _only_sliced(name, computation)}


def _only_sliced(name: str, computation: Computation) -> bool:
  users = [i for i in computation.values() if name in i.operands]
  return bool(users) and all(
    _only_sliced(u.name, computation)
    if u.kind == "bitcast"
    else u.kind == "dynamic-slice"
    for u in users
  )


def _group(attributes: str) -> int:
  """Devices in one group, in any of the forms that HLO writes.

  Raises:
    ValueError: unknown notation; counting nothing would be wrong.
  """
  if "source_target_pairs" in attributes:
    return 2
  if match := re.search(r"replica_groups=\{\{([\d,]*)\}", attributes):
    return match[1].count(",") + 1
  if match := re.search(r"replica_groups=\[\d+,(\d+)\]", attributes):
    return int(match[1])
  if match := _MESH_GROUPS.search(attributes):
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", match[1]))
    axes = [_MESH_AXIS.fullmatch(axis) for axis in match[2].split(",")]
    counts = [int(a[2] or sizes[a[1]]) for a in axes if a]
    if len(counts) == len(axes):
      return math.prod(counts)
  raise ValueError(f"groups of devices in another form: {attributes[:200]}")


def _flops(instruction: Instruction, computation: Computation) -> int:
  """Operations of a product; two per multiply-add."""
  kind = instruction.kind
  if library := _LIBRARY.search(instruction.attributes):
    kind = "dot" if library[1] == "cublas" else "convolution"
  if kind == "dot":
    left = _result(computation, instruction.operands[0])[0]
    contracted = _matched(_CONTRACTED, instruction.attributes)
    axes = [int(n) for n in re.findall(r"\d+", contracted[1])]
    out = instruction.results[0]
    return 2 * out.size * math.prod(left.shape[axis] for axis in axes)
  if kind != "convolution":
    return 0
  left, right, out = _of_convolution(instruction, computation)
  labels = _matched(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
  ins, kernel, outs = labels.groups()
  total = 2 * out.shape[outs.index("b")] * out.shape[outs.index("f")]
  total *= right.shape[kernel.index("i")]
  window = _window(instruction.attributes, len(out.shape) - 2)
  for axis, settings in enumerate(window):
    label = str(axis)
    total *= _taps(
      left.shape[ins.index(label)], out.shape[outs.index(label)], **settings
    )
  return total


def _of_convolution(
  instruction: Instruction, computation: Computation
) -> tuple[Array, Array, Array]:
  """Input, kernel and output of a convolution, or of one that it derives."""
  first, second = (_result(computation, n)[0] for n in instruction.operands[:2])
  result = instruction.results[0]
  if "convBackwardInput" in instruction.attributes:
    return result, second, first
  if "convBackwardFilter" in instruction.attributes:
    return first, result, second
  return first, second, result


def _matched(pattern: str, attributes: str) -> re.Match[str]:
  """Matches an attribute that an instruction of this kind always has.

  Raises:
    ValueError: it is missing; counting nothing would be wrong.
  """
  match = re.search(pattern, attributes)
  if not match:
    raise ValueError(f"no {pattern} in {attributes[:200]}")
  return match


def _window(attributes: str, axes: int) -> list[dict[str, int]]:
  """Settings of each spatial axis of a convolution."""
  text = re.search(r"window=\{([^}]*)\}", attributes)
  given = dict(f.split("=") for f in text[1].split()) if text else {}

  def values(name: str, default: str) -> list[str]:
    return given[name].split("x") if name in given else [default] * axes

  return [
    {
      "size": int(size),
      "stride": int(stride),
      "pad": int(pad.split("_")[0]),
      "lhs_dilate": int(lhs),
      "rhs_dilate": int(rhs),
    }
    for size, stride, pad, lhs, rhs in zip(
      values("size", "1"), values("stride", "1"), values("pad", "0_0"),
      values("lhs_dilate", "1"), values("rhs_dilate", "1"), strict=True,
    )
  ]  # fmt: skip


def _taps(
  inputs: int,
  outputs: int,
  size: int,
  stride: int,
  pad: int,
  lhs_dilate: int,
  rhs_dilate: int,
) -> int:
  """Number of (output, window position) pairs that hit an input, not a hole.

  The TPU compiler writes batch axes of a product as dilated axes: only these
  pairs are computed.
  """
  places = (
    output * stride + tap * rhs_dilate - pad
    for output in range(outputs)
    for tap in range(size)
  )
  last = (inputs - 1) * lhs_dilate
  return sum(0 <= p <= last and p % lhs_dilate == 0 for p in places)
