"""Does a program fit a slice of chips, and how fast can it be at best?"""

import dataclasses
import importlib.util
import time
from typing import Any

import jax

from siren_jax.common import mesh as meshes
from siren_jax.common.errors import UserError
from siren_jax.scaling import costs, flops, programs
from siren_jax.scaling.chips import GIB, Topology


@dataclasses.dataclass(frozen=True)
class Report:
  """What is known of a program before anyone has run it.

  Attributes:
    arguments, temporaries, code: bytes on a chip.
    useful: operations on all chips, without what rematerialisation repeats.
    costs: of one chip, with it. codes: made or learned from in one run.
    seconds: of compilation.
  """

  topology: Topology
  arguments: int
  temporaries: int
  code: int
  useful: int
  costs: costs.Costs
  codes: int
  seconds: float

  @property
  def peak(self) -> int:
    """Bytes on a chip while it runs; donated arguments count once."""
    return self.arguments + self.temporaries + self.code

  @property
  def fits(self) -> bool:
    return self.peak <= self.topology.chip.memory

  def times(self) -> dict[str, float]:
    """Seconds that each limit alone would allow."""
    chip = self.topology.chip
    return {
      "products": self.costs.flops / chip.flops,
      "memory": self.costs.bytes / chip.bandwidth,
      "network": self.costs.sent / self.topology.bandwidth,
    }

  @property
  def step(self) -> float:
    """The roofline: seconds of the slowest limit, the others hidden by it."""
    return max(self.times().values())

  def utilisation(self, seconds: float) -> float:
    """Share of the peak that is useful work in a run of so many seconds."""
    chips = self.topology.count
    return self.useful / (chips * self.topology.chip.flops * seconds)


class DoesNotFit(Exception):
  """The chips have not enough memory; the compiler said so."""


def check(
  task: str, experiment: Any, topology: Topology, frames: int, effort: float
) -> Report:
  """Compiles a task of `programs.TASKS` for a described slice of TPUs.

  Args:
    effort: of the compiler, in [-1, 1]; at -1 products and collectives are
      the same in a fifth of the time, but nothing is kept on the chip.

  Raises:
    UserError: libtpu is not installed, does not know the topology, or the
      mesh and the slice do not fit each other.
    DoesNotFit: the chips have not enough memory for the program.
  """
  experiment = programs.as_on_tpu(experiment)
  mesh = meshes.make_mesh(experiment.mesh, devices(topology))
  start = time.monotonic()
  with jax.set_mesh(mesh):
    program = programs.TASKS[task](experiment, mesh, frames)
    lowered = program.function.lower(*program.args)
  options = {"exec_time_optimization_effort": effort, **program.options}
  try:
    compiled: Any = lowered.compile(options)
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" in str(error):
      raise DoesNotFit(_first_line(error)) from error
    raise
  seconds = time.monotonic() - start
  memory = compiled.memory_analysis()
  return Report(
    topology=topology,
    arguments=memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes,
    temporaries=memory.temp_size_in_bytes,
    code=memory.generated_code_size_in_bytes,
    useful=_useful(task, programs.without_remat(experiment), mesh, frames),
    costs=costs.of(compiled.as_text()),
    codes=program.codes,
    seconds=seconds,
  )


def devices(topology: Topology) -> list[Any]:
  """Descriptions of the chips of a slice, to compile for.

  Raises:
    UserError: libtpu is not installed, or does not know the topology.
  """
  from jax.experimental import topologies

  try:
    described = topologies.get_topology_desc(
      platform="tpu", topology_name=topology.name
    )
  except Exception as error:
    remedy = "give a slice that Google's documentation lists"
    if importlib.util.find_spec("libtpu") is None:
      remedy = "the TPU compiler comes with pip install 'siren-jax[tpu]'"
    raise UserError(
      f"topology {topology.name}: {_first_line(error)}; {remedy}"
    ) from error
  return described.devices


def text(report: Report) -> str:
  """The report for people."""
  chip, costs_, times = report.topology.chip, report.costs, report.times()
  limit = max(times, key=lambda name: times[name])
  total = sum(times.values())
  lines = [
    f"a chip of {report.topology.name} ({report.topology.count} chips):",
    f"  arguments   {_gib(report.arguments)}",
    f"  temporaries {_gib(report.temporaries)}",
    f"  program     {_gib(report.code)}",
    f"  peak        {_gib(report.peak)} of {_gib(chip.memory)}",
    f"  products    {costs_.flops / 1e12:.2f} T operations, of which useful"
    f" {report.useful / report.topology.count / 1e12:.2f} T",
    f"  memory      {costs_.bytes / 1e9:.2f} GB read and written:"
    f" {costs_.flops / max(costs_.bytes, 1):.0f} operations a byte (this chip"
    f" is balanced at {chip.flops / chip.bandwidth:.0f})",
    f"  network     {costs_.sent / 1e9:.3f} GB received:",
    *(f"    {line}" for line in _collectives(costs_)),
    "at best:",
    *(f"  {name:11} {1e3 * t:.1f} ms" for name, t in times.items()),
    f"  {limit} limits it: {1e3 * report.step:.1f} ms,"
    f" {report.codes / report.step:,.0f} codes a second, useful"
    f" {report.utilisation(report.step):.0%} of the peak",
    f"  with nothing hidden by anything else: {1e3 * total:.1f} ms,"
    f" {report.utilisation(total):.0%}",
  ]
  if costs_.unknown_loops:
    lines.append(f"  loops of unknown length: {costs_.unknown_loops}")
  return "\n".join(lines)


def _collectives(counted: costs.Costs) -> list[str]:
  """One line for each kind and number of devices."""
  rows: dict[tuple[str, int], tuple[float, float]] = {}
  for c in counted.collectives:
    if c.devices > 1:
      times, sent = rows.get((c.kind, c.devices), (0, 0))
      rows[c.kind, c.devices] = times + c.times, sent + c.times * c.sent
  return [
    f"{kind} among {devices}: {times:g} times, {sent / 1e9:.3f} GB"
    for (kind, devices), (times, sent) in rows.items()
  ]


def _useful(
  task: str, experiment: Any, mesh: jax.sharding.Mesh, frames: int
) -> int:
  """Operations of the program as one device would run it, nothing twice."""
  program = programs.TASKS[task](experiment, mesh, frames)
  return flops.count(program.function, *program.args)


def _gib(size: int) -> str:
  return f"{size / GIB:.2f} GiB"


def _first_line(error: Exception) -> str:
  return str(error).strip().splitlines()[0][:300]
