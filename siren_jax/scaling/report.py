"""Does a program fit the chips, and how fast can it be at best?"""

import dataclasses
import importlib.util
import time
from collections.abc import Mapping
from typing import Any

import jax

from siren_jax.common import mesh as meshes
from siren_jax.common.errors import UserError
from siren_jax.scaling import costs, flops, hlo, launches, programs
from siren_jax.scaling.chips import GIB, Topology
from siren_jax.scaling.gpus import Gpu

# Modules of a compiler, where it comes from, what else may be wrong.
_COMPILERS = {
  "tpu": (
    ("libtpu",),
    "'siren-jax[tpu]'",
    "give a slice that Google's documentation lists",
  ),
  "gpu": (
    ("jax_cuda12_plugin", "jax_cuda13_plugin"),
    "'siren-jax[cuda12]' or 'siren-jax[cuda13]'",
    "install jaxlib and the CUDA plugin in one version",
  ),
}
# The guess can be one that Triton has no tiles for: then cuBLAS multiplies.
_NO_TILES, _TRITON = "output tile sizes", "xla_gpu_enable_triton_gemm"
# Of the compiler: what GPUs would find out by trying is left at XLA's guess.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
  "tpu": {},
  "gpu": {"xla_gpu_autotune_level": 0},
}


@dataclasses.dataclass(frozen=True)
class Report:
  """What is known of a program before anyone has run it.

  Attributes:
    arguments, temporaries, code: bytes on a chip.
    part: what the rest is about: "step", "run" of the sampler or of sounds, or
      on a GPU one "frame" of the sampler.
    useful: operations on all chips, without what rematerialisation repeats.
    costs: of one chip, with it. codes: made or learned from in one run.
    launches: on a GPU. seconds: of compilation.
  """

  topology: Topology
  arguments: int
  temporaries: int
  code: int
  part: str
  useful: int
  costs: costs.Costs
  codes: int
  launches: launches.Launches | None
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
  """Compiles a task of `programs.TASKS` for described TPUs or GPUs.

  Args:
    effort: of the compiler, in [-1, 1]; at -1 products and collectives are
      the same in a fifth of the time, but nothing is kept on a TPU's chip.

  Raises:
    UserError: the compiler is not installed, does not know the topology, or
      the mesh and the chips do not fit each other.
    DoesNotFit: the chips have not enough memory for the program.
  """
  mesh = meshes.make_mesh(experiment.mesh, devices(topology))
  start = time.monotonic()
  with jax.set_mesh(mesh):
    program = programs.TASKS[task](experiment, mesh, frames)
    lowered = program.function.lower(*program.args)
  options = {
    "exec_time_optimization_effort": effort,
    **_OPTIONS[topology.platform],
    **program.options,
  }
  compiled = _compiled(lowered, options)
  seconds = time.monotonic() - start
  memory = compiled.memory_analysis()
  useful = _useful(task, programs.without_remat(experiment), mesh, frames)
  read, parts = hlo.Program(compiled.as_text()), 1
  part = "run" if task in ("sample", "sounds") else "step"
  on_gpu = topology.platform == "gpu"
  if on_gpu and task == "sample" and (body := _loop_over(frames, read)):
    read, part, parts = read.part(body), "frame", frames
  counted = costs.of_program(read)
  if on_gpu:  # There, a product with one row is a sum like any other.
    least = useful // parts // topology.count
    counted = dataclasses.replace(counted, flops=max(counted.flops, least))
  return Report(
    topology=topology,
    arguments=memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes,
    temporaries=memory.temp_size_in_bytes,
    code=memory.generated_code_size_in_bytes,
    part=part,
    useful=useful // parts,
    costs=counted,
    codes=program.codes // parts,
    launches=launches.of(read) if on_gpu else None,
    seconds=seconds,
  )


def _compiled(lowered: jax.stages.Lowered, options: dict[str, Any]) -> Any:
  try:
    return lowered.compile(options)
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" in str(error):
      raise DoesNotFit(_first_line(error)) from error
    if _NO_TILES in str(error) and _TRITON not in options:
      return _compiled(lowered, options | {_TRITON: False})
    raise


def devices(topology: Topology) -> list[Any]:
  """Descriptions of the chips, to compile for.

  Raises:
    UserError: their compiler is not installed, or does not know them.
  """
  from jax.experimental import topologies

  chip = topology.chip
  try:
    if isinstance(chip, Gpu):
      described = topologies.get_topology_desc(
        platform="cuda",
        target_config=chip.target,
        topology=f"1x1x{topology.count}",
      )
    else:
      described = topologies.get_topology_desc(
        platform="tpu", topology_name=topology.name
      )
  except Exception as error:
    modules, source, remedy = _COMPILERS[topology.platform]
    if not any(map(importlib.util.find_spec, modules)):
      remedy = f"the compiler comes with pip install {source}"
    raise UserError(
      f"topology {topology.name}: {_first_line(error)}; {remedy}"
    ) from error
  return described.devices


def text(report: Report) -> str:
  """The report for people."""
  chip, costs_, times = report.topology.chip, report.costs, report.times()
  limit = max(times, key=lambda name: times[name])
  collectives = _collectives(costs_)
  lines = [
    f"a chip of {report.topology.name} ({_kind(report.topology)}):",
    f"  arguments   {_gib(report.arguments)}",
    f"  temporaries {_gib(report.temporaries)}",
    f"  program     {_gib(report.code)}",
    f"  peak        {_gib(report.peak)} of {_gib(chip.memory)}",
    *([f"a {report.part}:"] if report.launches else []),
    f"  products    {_tera(costs_.flops)}FLOP, of which"
    f" {_tera(report.useful / report.topology.count)}FLOP useful",
    f"  memory      {_giga(costs_.bytes)} GB read and written:"
    f" {costs_.flops / max(costs_.bytes, 1):.0f} FLOP/byte (ridge point of"
    f" this chip: {chip.flops / chip.bandwidth:.0f})",
    f"  network     {costs_.sent / 1e9:.3f} GB received"
    + (":" if collectives else ""),
    *(f"    {line}" for line in collectives),
    *(_launches(report.launches) if report.launches else []),
    "at best:",
    *(f"  {name:11} {_ms(t)}" for name, t in times.items()),
    f"  limited by {limit}: {_ms(report.step)},"
    f" {report.codes / report.step:,.0f} codes a second, MFU"
    f" {report.utilisation(report.step):.0%}",
    *(
      _started(report, report.launches)
      if report.launches
      else [_nothing_hidden(report)]
    ),
  ]
  if costs_.unknown_loops:
    lines.append(f"  loops of unknown length: {costs_.unknown_loops}")
  return "\n".join(lines)


def _kind(topology: Topology) -> str:
  chip = topology.chip
  return chip.title if isinstance(chip, Gpu) else f"{topology.count} chips"


def _nothing_hidden(report: Report) -> str:
  total = sum(report.times().values())
  return f"  with no overlap: {_ms(total)}, {report.utilisation(total):.0%}"


def _launches(started: launches.Launches) -> list[str]:
  """What a device does one after the other, and what steers it."""
  kinds = ", ".join(f"{n:,.0f} {kind}" for kind, n in started.kinds.items())
  lines = [f"  kernels     {started.kernels:,.0f}: {kinds}"]
  for loop in started.loops:
    length = (
      f"of {loop.trip_count} iterations, each started by the host"
      if loop.trip_count
      else "of unknown length; the host waits after each iteration"
    )
    lines.append(
      f"  loops       {loop.times:,.0f} {length}: {loop.kernels:,.0f} kernels"
    )
  if not started.loops:
    lines.append("  loops       none")
  if started.branches:
    lines.append(
      f"  branches    {started.branches:,.0f}; outside of graphs the host waits"
      " for each"
    )
  return lines


def _started(report: Report, started: launches.Launches) -> list[str]:
  """The estimate with what it takes to start everything, on a GPU."""
  return [
    f"  including {started.kernels:,.0f} kernel launches from the host: "
    + _span(report, started.seconds(graphs=False)),
    f"  including {started.in_graphs:,.0f} kernel launches in CUDA graphs: "
    + _span(report, started.seconds(graphs=True)),
  ]


def _span(report: Report, starting: tuple[float, float]) -> str:
  fast, slow = (report.step + seconds for seconds in starting)
  return (
    f"{_ms(fast)} to {_ms(slow)}, {report.codes / slow:,.0f} to"
    f" {report.codes / fast:,.0f} codes a second"
  )


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


def _loop_over(frames: int, program: hlo.Program) -> str | None:
  """Name of the loop's body that runs once a frame, if there is a loop."""
  bodies = [
    instruction.called()[0]
    for times, _, instruction in program.instructions()
    if instruction.kind == "while" and times == 1
    if instruction.trip_count() == frames
  ]
  return max(
    bodies, key=lambda body: len(program.computations[body]), default=None
  )


def _tera(operations: float) -> str:
  return f"{operations / 1e12:.{2 if operations > 1e11 else 4}f} T"


def _giga(size: float) -> str:
  return f"{size / 1e9:.{2 if size > 1e8 else 4}f}"


def _ms(seconds: float) -> str:
  return f"{1e3 * seconds:.{1 if seconds > 0.01 else 3}f} ms"


def _gib(size: int) -> str:
  return f"{size / GIB:.2f} GiB"


def _first_line(error: Exception) -> str:
  return str(error).strip().splitlines()[0][:300]
