"""Stage 2: rollouts, rewards and a policy gradient that tune coarse experts.

The paper gives the idea, anti-causal alignment; the method is our design:
docs/alignment.md.
"""

from siren_jax.alignment.config import AlignConfig
from siren_jax.alignment.rewards import Rollout
from siren_jax.alignment.task import AlignTask

__all__ = ["AlignConfig", "AlignTask", "Rollout"]
