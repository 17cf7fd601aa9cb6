"""How the experts are run, independent of the model."""

import dataclasses

from siren_jax.common.errors import UserError

DTYPES = ("float32", "bfloat16", "int8")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
  """Settings of how experts are run; bundles do not contain them.

  `ExpertConfig` defines the function; these set its precision, the order of
  computation and the memory use, and belong to a machine and a run
  (docs/design.md, One expert). They change no parameter's shape.

  Attributes:
    dtype: of activations and matrix products; parameters keep their type.
      int8: bfloat16, with the sampler's kernels in eight bits and one scale per
      output channel; not for training.
    scan_layers: compile one block and loop over it (deep models).
    remat: recompute a block's activations in the backward pass.
    expert_loop: "vmap" runs the experts as one batched computation, "map" runs
      those of each device sequentially (less memory, more of it on the chip;
      twice as fast on a single CPU, whose batched products are slow), "auto"
      chooses.
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
    """Type of the activations."""
    return "bfloat16" if self.dtype == "int8" else self.dtype

  def check_trains(self) -> None:
    """Raises:
    UserError: these settings do not support training.
    """
    if self.dtype == "int8":
      raise UserError(
        "dtype='int8' is for sampling; train in float32 or bfloat16"
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutionChanges:
  """Changes to an `Execution`; None leaves a setting as it is."""

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
