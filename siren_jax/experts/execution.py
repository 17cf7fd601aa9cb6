"""How the experts are run, apart from what they are."""

import dataclasses

from siren_jax.common.errors import UserError

DTYPES = ("float32", "bfloat16", "int8")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
  """Settings that any experts can be run with; no bundle keeps them.

  `ExpertConfig` fixes the function that is computed. These say in which
  precision, in what order and with how much memory, and belong to a machine
  and a run (docs/design.md, One expert). They change no parameter's shape.

  Attributes:
    dtype: of activations and of products; parameters stay as they are stored.
      int8: bfloat16, with the kernels of the sampler in eight bits, one scale
      for each channel that they give; not for training.
    scan_layers: compile one block and loop over it (deep models).
    remat: recompute a block's activations in the backward pass.
    expert_loop: "vmap" runs the experts as one batched computation, "map"
      those of one device one after the other (less memory, and more of it on
      the chip; twice as fast on a single CPU, whose batched products are
      slow), "auto" chooses.
  """

  dtype: str = "float32"
  scan_layers: bool = False
  remat: bool = False
  expert_loop: str = "auto"

  def __post_init__(self) -> None:
    if self.dtype not in DTYPES:
      raise UserError(f"dtype={self.dtype!r}; use {', '.join(DTYPES)}")
    if self.expert_loop not in ("auto", "vmap", "map"):
      raise UserError(
        f"expert_loop={self.expert_loop!r}; use auto, vmap or map"
      )

  @property
  def activations(self) -> str:
    """Their type."""
    return "bfloat16" if self.dtype == "int8" else self.dtype

  def check_trains(self) -> None:
    """Raises:
    UserError: nothing can be trained so.
    """
    if self.dtype == "int8":
      raise UserError(
        "dtype='int8' is for sampling; train in float32 or bfloat16"
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutionChanges:
  """Settings of an `Execution` that are to differ; None leaves one as it is."""

  dtype: str | None = None
  scan_layers: bool | None = None
  remat: bool | None = None
  expert_loop: str | None = None

  def __post_init__(self) -> None:
    self.of(Execution())  # checks them

  def of(self, execution: Execution) -> Execution:
    """`execution` with these changes."""
    changes = {
      k: v for k, v in dataclasses.asdict(self).items() if v is not None
    }
    return dataclasses.replace(execution, **changes)
