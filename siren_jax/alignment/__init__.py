"""Stage 2, anti-causal alignment: coarse experts tuned by what comes of them.

How the paper's idea is made concrete here is our design: docs/alignment.md.
"""

from siren_jax.alignment.config import AlignConfig
from siren_jax.alignment.rewards import Rollout
from siren_jax.alignment.task import AlignTask

__all__ = ["AlignConfig", "AlignTask", "Rollout"]
