"""The programs that users run, on shapes alone: nothing is allocated.

Each is what `train` and `align` compile, and the sampler of `generate`, for a
mesh of devices that need not be there.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from siren_jax import clap, codec, experts, sampling
from siren_jax.alignment import AlignConfig
from siren_jax.alignment.task import AlignTask
from siren_jax.clap.laion import LaionConfig
from siren_jax.codec.config import DacConfig, SpectralCodecConfig
from siren_jax.common import mesh as meshes
from siren_jax.common import tuning
from siren_jax.common.errors import UserError
from siren_jax.common.shards import block_size
from siren_jax.experiments.stage1 import (
  Stage1Experiment,
  sounds_of,
  task_of,
)
from siren_jax.training import OptimizerConfig, trainer
from siren_jax.training.sounds import first_rows

Shapes = Any  # a tree of `jax.ShapeDtypeStruct`


class Program(NamedTuple):
  """A jitted function and its arguments, as shapes with shardings.

  `codes`: how many one run makes, or learns from. `options`: of the compiler.
  """

  function: jax.stages.Wrapped
  args: tuple[Shapes, ...]
  codes: int
  options: Mapping[str, Any]


def train(experiment: Stage1Experiment, mesh: Mesh, frames: int) -> Program:
  """One Stage-1 step on clips of so many frames."""
  task = task_of(experiment, None)
  state = trainer.abstract_state(task, mesh)
  batch = _clips(experiment, mesh, frames)
  return Program(
    trainer.make_update(task, state),
    (state, batch, _key(mesh)),
    math.prod(batch["codes_BxNxT"].shape),
    tuning.current().compiler_options,
  )


def sounds(experiment: Stage1Experiment, mesh: Mesh, frames: int) -> Program:
  """The sounds that training writes at an evaluation (`train.samples`).

  Raises:
    UserError: it writes none.
  """
  count = experiment.train.samples
  if not count:
    raise UserError("train.samples=0: no sounds are written; give 1 or more")
  config = _models(experiment.experts).codec
  params = _whole(functools.partial(codec.init, config=config), mesh)
  written = sounds_of(experiment, config, params)
  function = jax.jit(
    first_rows(written, count, mesh),
    keep_unused=True,  # The optimizer's state is in memory too.
    out_shardings=meshes.replicated(mesh),
  )
  state = trainer.abstract_state(task_of(experiment, None), mesh)
  return Program(
    function,
    (state, _clips(experiment, mesh, frames), *written.args),
    count * experiment.experts.num_codebooks * frames,
    tuning.current().compiler_options,
  )


def sample(experiment: Stage1Experiment, mesh: Mesh, frames: int) -> Program:
  """Codes of so many frames for a batch of prompts, by `generate.sampling`.

  The experts are as `load` keeps them: prepared, in the precision they run in.
  """
  config, rows = experiment.experts, experiment.train.batch_size
  tokens = _models(config).clap.text.max_tokens
  args = (
    _weights(config, experiment.execution, mesh),
    _numbers(experiment.generate.sampling, mesh),
    _rows(mesh, jnp.float32, rows, tokens, config.prompt_dim),
    _rows(mesh, bool, rows, tokens),
    _rows(mesh, _key(mesh).dtype, rows),
  )

  @jax.jit
  def function(
    weights: sampling.Weights,
    method: sampling.SamplingConfig,
    prompt_BxPxC: jax.Array,
    prompt_mask_BxP: jax.Array,
    keys_B: jax.Array,
  ) -> sampling.Samples:
    prompted = sampling.prepare(weights, method, prompt_BxPxC, prompt_mask_BxP)
    state = sampling.start(prompted, frames)
    return sampling.advance(prompted, state, keys_B, num_frames=frames)[1]

  return Program(function, args, rows * config.num_codebooks * frames, {})


def align(experiment: Stage1Experiment, mesh: Mesh, frames: int) -> Program:
  """One alignment step with the defaults of `AlignConfig`.

  The batch is rollouts.

  Raises:
    UserError: they are not whole groups.
  """
  config = experiment.experts
  models = _models(config)._replace(execution=experiment.execution)
  seconds = frames * models.codec.hop / models.codec.sample_rate
  settings = AlignConfig(seconds=seconds)
  prompts, rest = divmod(experiment.train.batch_size, settings.group_size)
  if rest:
    raise UserError(
      f"train.batch_size={experiment.train.batch_size}: rollouts come in groups"
      f" of {settings.group_size}; give a multiple"
    )
  params = {
    "experts": _experts(config, mesh),
    "codec": _whole(functools.partial(codec.init, config=models.codec), mesh),
    "clap": _whole(functools.partial(clap.init, config=models.clap), mesh),
  }
  task = AlignTask(models, params, settings, OptimizerConfig())
  state = trainer.abstract_state(task, mesh)
  tokens = models.clap.text.max_tokens
  batch = {
    "ids_BxP": _rows(mesh, jnp.int32, prompts, tokens),
    "mask_BxP": _rows(mesh, bool, prompts, tokens),
    "truth_B": _rows(mesh, jnp.int32, prompts),
    "place_B": _rows(mesh, jnp.int32, prompts),
  }
  function = trainer.make_update(task, state)
  codes = prompts * settings.group_size * config.num_codebooks * frames
  return Program(
    function,
    (state, batch, _key(mesh)),
    codes,
    tuning.current().compiler_options,
  )


TASKS = {"train": train, "sounds": sounds, "sample": sample, "align": align}


def without_remat(experiment: Stage1Experiment) -> Stage1Experiment:
  """Keeps every activation: its operations are the useful ones."""
  return _replaced(experiment, remat=False)


def _replaced(experiment: Stage1Experiment, **changes: Any) -> Stage1Experiment:
  """With other settings of its execution."""
  execution = dataclasses.replace(experiment.execution, **changes)
  return dataclasses.replace(experiment, execution=execution)


def _models(config: experts.ExpertConfig) -> sampling.Models:
  """The published codec and CLAP where sizes are theirs; else small ones."""
  laion, dac = LaionConfig(), DacConfig()
  widths = laion.text.width, dac.feature_dim
  if (config.prompt_dim, config.feature_dim) == widths:
    return sampling.Models(laion, config, dac)
  own = SpectralCodecConfig(
    num_codebooks=config.num_codebooks,
    codebook_size=config.codebook_size,
    feature_dim=config.feature_dim,
  )
  words = clap.TextConfig(width=config.prompt_dim)
  return sampling.Models(clap.ClapConfig(text=words), config, own)


def _clips(
  experiment: Stage1Experiment, mesh: Mesh, frames: int
) -> dict[str, Shapes]:
  """A batch of a code set."""
  config, rows = experiment.experts, experiment.train.batch_size
  tokens = _models(config).clap.text.max_tokens
  return {
    "codes_BxNxT": _rows(mesh, jnp.int32, rows, config.num_codebooks, frames),
    "frame_mask_BxT": _rows(mesh, bool, rows, frames),
    "prompt_BxPxC": _rows(mesh, jnp.float32, rows, tokens, config.prompt_dim),
    "prompt_mask_BxP": _rows(mesh, bool, rows, tokens),
  }


def _experts(config: experts.ExpertConfig, mesh: Mesh) -> Shapes:
  boxed = jax.eval_shape(lambda key: experts.init(key, config), _plain_key())
  return meshes.placed(boxed, mesh)


def _weights(
  config: experts.ExpertConfig, execution: experts.Execution, mesh: Mesh
) -> Shapes:
  """Prepared experts, where preparing them leaves them."""

  @jax.jit
  def function(params: Any) -> sampling.Weights:
    return sampling.prepare_weights(params, config, execution)

  params = _experts(config, mesh)
  shapes = jax.eval_shape(function, params)
  if meshes.is_single_device():
    return _placed(shapes, meshes.replicated(mesh))
  shardings = function.lower(params).compile().output_shardings
  return jax.tree.map(lambda x, s: x.update(sharding=s), shapes, shardings)


def _numbers(tree: Any, mesh: Mesh) -> Shapes:
  """Numbers of Python as arguments of a jitted function."""
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      (), jnp.result_type(x), weak_type=True, sharding=meshes.replicated(mesh)
    ),
    tree,
  )


def _whole(init: Callable, mesh: Mesh) -> Shapes:
  """On every device."""
  shapes = nn.unbox(jax.eval_shape(init, _plain_key()))
  return _placed(shapes, meshes.replicated(mesh))


def _placed(shapes: Shapes, sharding: jax.sharding.Sharding) -> Shapes:
  return jax.tree.map(lambda x: x.update(sharding=sharding), shapes)


def _rows(mesh: Mesh, dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
  block_size(shape[0], meshes.batch_ways(mesh))  # Tells if it does not divide.
  sharding = meshes.batch_sharding(mesh)
  return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def _key(mesh: Mesh) -> jax.ShapeDtypeStruct:
  return _plain_key().update(sharding=meshes.replicated(mesh))


def _plain_key() -> jax.ShapeDtypeStruct:
  return jax.eval_shape(jax.random.key, 0)
