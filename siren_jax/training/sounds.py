"""Sample sounds of a model during training: a few at each evaluation."""

import dataclasses
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from siren_jax.common import mesh as meshes
from siren_jax.common import tuning
from siren_jax.training.state import TrainState
from siren_jax.training.task import Batch

SampleFn = Callable[[TrainState, Batch], dict[str, np.ndarray]]

# Packages of the extra `train` needed to write sounds.
_WRITERS = ("tensorboardX", "soundfile", "matplotlib")


@dataclasses.dataclass(frozen=True)
class Sounds:
  """How the sounds of a task are made: its attribute `sounds`.

  Attributes:
    make: (state, batch, rows, *args) -> audio_BxS by name, for the first `rows`
      rows of an evaluation batch. Pure and jit-able; `rows` is static.
    sample_rate: Hz.
    args: trees passed to `make`, such as the parameters of a codec, which would
      be constants of its program otherwise.
  """

  make: Callable[..., Mapping[str, jax.Array]]
  sample_rate: int
  args: tuple[Any, ...] = ()


def make_sample_fn(
  sounds: Sounds | None, count: int, mesh: jax.sharding.Mesh
) -> SampleFn:
  """(state, evaluation batch) -> at most `count` sounds [B, S] by name.

  It is compiled at the first call. It returns nothing if `sounds` is None,
  `count` is 0, or the packages to write sounds are missing.
  """
  missing = [n for n in _WRITERS if importlib.util.find_spec(n) is None]
  if sounds is None or not count or missing:
    return lambda state, batch: {}
  everywhere = meshes.replicated(mesh)
  jitted = jax.jit(
    first_rows(sounds, count, mesh),
    out_shardings=everywhere,
    compiler_options=tuning.current().compiler_options,
  )
  args = jax.device_put(sounds.args, everywhere)

  def sample(state: TrainState, batch: Batch) -> dict[str, np.ndarray]:
    audio: dict[str, np.ndarray] = jax.device_get(jitted(state, batch, *args))
    return audio

  return sample


def first_rows(
  sounds: Sounds, count: int, mesh: jax.sharding.Mesh
) -> Callable[..., dict[str, jax.Array]]:
  """Jit-able (state, evaluation batch, *args) -> audio_BxS by name, B = count.

  Rows are made in multiples of the mesh's batch axes, and cut to `count`.
  """
  ways = meshes.batch_ways(mesh)
  rows = -(-count // ways) * ways  # must be divisible over the mesh

  def make(state: TrainState, batch: Batch, *args: Any) -> dict[str, jax.Array]:
    full = sounds.make(state, batch, rows, *args)
    return {name: audio_BxS[:count] for name, audio_BxS in full.items()}

  return make
