"""Kernel launches of a compiled GPU program.

The time of a small kernel is that of its launch. The host launches kernels one
by one, or many at once as a CUDA graph (in XLA, a command buffer).
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TypeVar

from siren_jax.scaling.hlo import FREE, Computation, Instruction, Program

# Seconds to launch one kernel, least and most. An H100 took 6.9 ms for a frame
# of 1,783 kernels with all graphs disabled, of which 0.5 ms are for memory:
# 3.6 us each (docs/benchmarks.md, One H100).
FROM_HOST = 3e-6, 5e-6
IN_GRAPH = 1e-6, 2e-6
# XLA's xla_gpu_graph_min_graph_size. Graphs contain branches, but not loops
# (xla_gpu_enable_command_buffer), as of jaxlib 0.10 and 0.11.
MIN_GRAPH = 5

_Key = TypeVar("_Key")


@dataclasses.dataclass(frozen=True)
class Loop:
  """Loops of one kind; the host starts each iteration.

  Attributes:
    times: how many there are.
    trip_count: of each; None: unknown, so that the host reads after each
      iteration whether another follows.
    kernels: in one iteration.
  """

  times: float
  trip_count: int | None
  kernels: float


@dataclasses.dataclass(frozen=True)
class Launches:
  """Launches in one run of a program, or of a part of it.

  Attributes:
    kinds: kernels and copies by opcode, most frequent first; those in loops of
      unknown length count once.
    in_graphs: those of them that XLA puts into CUDA graphs by default.
    loops: in the program, most frequent kind first.
    branches: conditionals evaluated on the device.
  """

  kinds: Mapping[str, float]
  in_graphs: float
  loops: tuple[Loop, ...]
  branches: float

  @property
  def kernels(self) -> float:
    return sum(self.kinds.values())

  def seconds(self, graphs: bool) -> tuple[float, float]:
    """Least and most seconds for all launches.

    Args:
      graphs: whether XLA's CUDA graphs are on.
    """
    in_graphs = self.in_graphs if graphs else 0
    from_host = self.kernels - in_graphs
    least, most = (
      from_host * host + in_graphs * graph
      for host, graph in zip(FROM_HOST, IN_GRAPH, strict=True)
    )
    return least, most


def of(program: Program) -> Launches:
  """Launches of a program for a GPU."""
  kinds: dict[str, float] = defaultdict(float)
  loops: dict[tuple[int | None, float], float] = defaultdict(float)
  in_graphs = branches = 0.0
  for times, computation in _running(program):
    in_graphs += times * _in_graphs(computation)
    for instruction in computation.values():
      if kind := _started(instruction):
        kinds[kind] += times
      elif instruction.kind == "conditional":
        branches += times
      elif instruction.kind == "while":
        loops[
          instruction.trip_count(), _kernels_per_iteration(program, instruction)
        ] += times
  return Launches(
    kinds=dict(_commonest(kinds)),
    in_graphs=in_graphs,
    loops=tuple(
      Loop(times, trip_count, kernels)
      for (trip_count, kernels), times in _commonest(loops)
    ),
    branches=branches,
  )


def _commonest(counts: Mapping[_Key, float]) -> list[tuple[_Key, float]]:
  return sorted(counts.items(), key=lambda item: -item[1])


def _running(program: Program) -> Iterator[tuple[float, Computation]]:
  """(times, computation) for each computation that launches operations.

  Includes conditions of loops of unknown length.
  """
  for name, times in program.times.items():
    if times and name not in program.fused:
      computation = program.computations[name]
      yield times, computation
      for loop in computation.values():
        if loop.kind == "while" and loop.trip_count() is None:
          yield times, program.computations[loop.condition()]


def _started(instruction: Instruction) -> str | None:
  """Opcode of an instruction that runs on the device, otherwise None."""
  kind, _, end = instruction.kind.rpartition("-")
  kind = kind if end == "start" else instruction.kind
  # Asynchronous instructions ("async") are computations of their own.
  nothing = kind in FREE or kind == "async" or end in ("done", "update")
  return None if nothing else kind


def _kernels_per_iteration(program: Program, loop: Instruction) -> float:
  """Kernels in one iteration of a loop, with those of loops inside it."""
  (body,) = loop.called()
  names = [body] if loop.trip_count() else [body, loop.condition()]
  return sum(
    times
    for name in names
    for times, computation in _running(program.part(name))
    for instruction in computation.values()
    if _started(instruction)
  )


def _in_graphs(computation: Computation) -> int:
  """Kernels of a computation in graphs, which loops interrupt."""
  total = length = 0
  for instruction in computation.values():
    if instruction.kind == "while":
      total, length = total + _graph(length), 0
    elif _started(instruction):
      length += 1
  return total + _graph(length)


def _graph(length: int) -> int:
  return length if length >= MIN_GRAPH else 0
