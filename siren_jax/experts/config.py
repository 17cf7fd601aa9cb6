"""Config of the residual experts: sizes and regularisation."""

import dataclasses
from typing import Any

from siren_jax.common.config import check_sizes
from siren_jax.common.errors import UserError
from siren_jax.experts.execution import Execution

# Fields that determine the parameters' shapes; the others may be changed.
SIZES = (
  "dim",
  "heads",
  "kv_heads",
  "temporal_layers",
  "depth_layers",
  "prompt_dim",
  "feature_dim",
  "num_codebooks",
  "codebook_size",
  "num_experts",
  "code_dim",
  "ffn_dim",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExpertConfig:
  """Config of an expert, the same for all (docs/design.md, What Siren is).

  Saved with the parameters, in bundles and work directories; `Execution` says
  how experts are run. `dropout` and `init_std` matter in training only, but are
  saved as part of the model's description.

  Attributes:
    dim: model width D, a multiple of `heads`.
    heads: query heads.
    kv_heads: key-value heads of the self-attentions, a divisor of `heads`.
    temporal_layers: blocks along time.
    depth_layers: blocks along the codebooks of one frame.
    prompt_dim: width C of a prompt token.
    feature_dim: width F of the codec's code features.
    num_codebooks: N; expert k predicts N / K consecutive codebooks.
    codebook_size: V.
    num_experts: K.
    code_dim: width of a codebook's entries.
    ffn_multiple_of: the SwiGLU width is rounded up to a multiple of this.
    ffn_multiplier: scales the SwiGLU width before the rounding.
    norm_eps: epsilon of every RMSNorm.
    dropout: rate after every sub-layer while training.
    init_std: deviation of the normal initialiser.
  """

  dim: int
  heads: int
  kv_heads: int
  temporal_layers: int
  depth_layers: int
  prompt_dim: int
  feature_dim: int
  num_codebooks: int = 12
  codebook_size: int = 1024
  num_experts: int = 6
  code_dim: int = 8
  ffn_multiple_of: int = 32
  ffn_multiplier: float | None = None
  norm_eps: float = 1e-5
  dropout: float = 0.0
  init_std: float = 0.02

  def __new__(cls, **settings: Any) -> "ExpertConfig":
    for field in dataclasses.fields(Execution):  # once fields of this class
      if field.name in settings:
        raise UserError(
          f"{field.name} is not a setting of ExpertConfig; give it as"
          f" Execution({field.name}={settings[field.name]!r})"
        )
    return super().__new__(cls)

  def __post_init__(self) -> None:
    check_sizes(
      "experts", self, temporal_layers=256, depth_layers=256, num_codebooks=64
    )
    _require_divisor("heads", self.heads, "dim", self.dim)
    _require_divisor("kv_heads", self.kv_heads, "heads", self.heads)
    _require_divisor(
      "num_experts", self.num_experts, "num_codebooks", self.num_codebooks
    )
    if self.dim % 2:
      raise UserError(f"dim={self.dim} is odd; positions need an even width")
    if not 0.0 <= self.dropout < 1.0:
      raise UserError(f"dropout={self.dropout} is outside [0, 1)")

  @property
  def head_dim(self) -> int:
    return self.dim // self.heads

  @property
  def heads_per_kv(self) -> int:
    return self.heads // self.kv_heads

  @property
  def codebooks_per_expert(self) -> int:
    return self.num_codebooks // self.num_experts

  @property
  def ffn_dim(self) -> int:
    width = int(8 * self.dim / 3)
    if self.ffn_multiplier is not None:
      width = int(self.ffn_multiplier * width)
    return -(-width // self.ffn_multiple_of) * self.ffn_multiple_of


def _require_divisor(name: str, value: int, of: str, total: int) -> None:
  if value < 1 or total % value:
    raise UserError(f"{name}={value} does not divide {of}={total}")
