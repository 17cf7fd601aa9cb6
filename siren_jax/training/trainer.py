"""THE trainer: runs a Task over a mesh, and survives being killed."""

import contextlib
import itertools
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import flax.linen as nn
import jax
import numpy as np
from jax.experimental import multihost_utils

from siren_jax.common import mesh as meshes
from siren_jax.common import paths, tuning
from siren_jax.common.errors import UserError
from siren_jax.common.rng import named_key
from siren_jax.common.signals import Repeats
from siren_jax.storage import run_config
from siren_jax.storage.checkpoint import Checkpoints
from siren_jax.training.config import TrainConfig
from siren_jax.training.runlog import RunLog
from siren_jax.training.sounds import make_sample_fn
from siren_jax.training.state import TrainState
from siren_jax.training.task import Batch, MeasuredTask, Metrics, Task

_WARM_UP = 2  # steps before a profile


class TrainData(Protocol):
  """Endless iterator of dictionaries of numpy arrays, with a JSON state."""

  def __next__(self) -> Mapping[str, np.ndarray]: ...
  def get_state(self) -> Any: ...
  def set_state(self, state: Any) -> None: ...


def train(
  task: Task,
  config: TrainConfig,
  mesh: jax.sharding.Mesh,
  train_data: TrainData,
  eval_data: Callable[[], Iterable[Mapping[str, np.ndarray]]] | None,
  workdir: Path | str,
  config_json: Mapping[str, Any],
) -> TrainState:
  """Trains to `config.steps`, from the newest checkpoint of `workdir` if any.

  Args:
    task: model and objective.
    config: lengths, intervals, seed.
    mesh: from `common.mesh.make_mesh`.
    train_data: endless batches; its state is saved with every checkpoint.
    eval_data: gives a fresh finite iterator of equally shaped batches.
    workdir: gets config.json, metrics.csv, tensorboard/ and checkpoints/.
    config_json: the whole configuration, JSON ready; in a resumed run, only
      lengths, intervals and the mesh may differ. Its "inputs" are fingerprints
      of the data it names, see `storage.run_config.check`.

  Raises:
    UserError: the configuration differs, the loss is not finite, the disk is
      full, or the data end.
    SystemExit: code 0, after SIGTERM or Ctrl-C and a checkpoint.
  """
  workdir = paths.local(workdir).absolute()
  with contextlib.ExitStack() as stack:
    stack.enter_context(jax.set_mesh(mesh))
    checkpoints = stack.enter_context(Checkpoints(workdir, config.keep))
    stop_requested = stack.enter_context(_stop_signals())
    resumed = checkpoints.latest_step() is not None
    changed = ""
    if jax.process_index() == 0:  # Others might read what this one wrote.
      changed = run_config.record(workdir, config_json, resumed)
    root = _root_key(config.seed, mesh)
    state = _restore_or_init(task, root, mesh, checkpoints, train_data)
    step = first = int(state.step)
    shown = getattr(task, "shown", ("loss",))
    log = RunLog(workdir, config, step, shown)
    stack.enter_context(contextlib.closing(log))
    if changed:
      log.print(changed)
    profile = stack.enter_context(contextlib.ExitStack())
    measured = update = evaluate = None
    while step < config.steps:
      if config.profile and step == first + _WARM_UP:
        profile.enter_context(jax.profiler.trace(workdir / "profile"))
      rows = meshes.shard_batch(_next(train_data, step), mesh)
      measured = measured or _measured(task, mesh, log)
      batch = measured(state, rows, root)
      update = update or _compile_update(task, log, state, batch, root)
      with jax.transfer_guard("disallow"):
        state, metrics = update(state, batch, root)
      step += 1
      log.push(step, metrics)
      if config.profile and step == first + _WARM_UP + config.profile:
        log.drain()  # so that the profile contains the whole last step
        with log.pause():
          profile.close()
      checkpoints.check()
      stop, last = stop_requested(step), step == config.steps
      if eval_data and (last or step % config.eval_every == 0):
        log.drain()
        with log.pause():
          evaluate = evaluate or _evaluator(task, config, mesh, log)
          scalars, sounds = evaluate(state, eval_data())
          if sounds:
            log.write_sounds(step, sounds, _sounds_of(task).sample_rate)
        log.write(step, scalars)
      if stop or last or step % config.checkpoint_every == 0:
        log.drain()  # Raises before a state that is not finite is saved.
        with log.pause():  # waits for the previous save
          checkpoints.save(step, state, train_data.get_state(), config_json)
      if stop and not last:
        checkpoints.wait()
        log.print(f"stopped and saved at step {step}; run again to resume")
        raise SystemExit(0)
    checkpoints.wait()
    return state


def abstract_state(task: Task, mesh: jax.sharding.Mesh) -> TrainState:
  """The state before the first update: shapes, types and shardings only."""
  args = getattr(task, "init_args", ())
  boxed = jax.eval_shape(task.init, jax.eval_shape(jax.random.key, 0), *args)
  return meshes.placed(boxed, mesh)


def make_update(task: Task, state: TrainState) -> jax.stages.Wrapped:
  """The jitted step: (state, batch, root key) -> (state, metrics).

  The old state is donated. `state`: arrays, or the result of `abstract_state`,
  for the devices.
  """

  def update(
    state: TrainState, batch: Batch, root: jax.Array
  ) -> tuple[TrainState, Metrics]:
    new, metrics = task.step(state, batch, _step_key(root, state))
    return new.replace(step=state.step + 1), metrics

  shardings = jax.tree.map(lambda x: x.sharding, state)
  return jax.jit(update, donate_argnums=0, out_shardings=(shardings, None))


def _measured(
  task: Task, mesh: jax.sharding.Mesh, log: RunLog
) -> Callable[[TrainState, Batch, jax.Array | None], Batch]:
  """(state, batch, root key; None to evaluate) -> the batch of `task.step`.

  For a `MeasuredTask`, the result of its `measure`.
  """
  if not isinstance(task, MeasuredTask) or task.measure is None:
    return lambda state, batch, root: batch
  log.print("compiling the rollouts with their first batch ...")
  measure = task.measure

  def rollout(state: TrainState, batch: Batch, root: jax.Array | None) -> Batch:
    key = None if root is None else _step_key(root, state)
    return task.rollout(state, batch, key)

  jitted = jax.jit(
    rollout,
    out_shardings=meshes.batch_sharding(mesh),
    compiler_options=tuning.current().compiler_options,
  )

  def measured(
    state: TrainState, batch: Batch, root: jax.Array | None
  ) -> Batch:
    with jax.transfer_guard("disallow"):
      rolled = jitted(state, batch, root)
    return measure(rolled)

  return measured


def _step_key(root: jax.Array, state: TrainState) -> jax.Array:
  return named_key(root, "step", state.step)


def _restore_or_init(
  task: Task,
  root: jax.Array,
  mesh: jax.sharding.Mesh,
  checkpoints: Checkpoints,
  train_data: TrainData,
) -> TrainState:
  """State; sets the data iterator to the same step. The order matters."""
  # 1. Shapes only, with shardings from their logical metadata.
  abstract = abstract_state(task, mesh)
  # 2. The newest readable checkpoint, directly to its devices.
  restored = checkpoints.restore_latest(abstract)
  # 3. The iterator's state at that step.
  if restored is not None:
    train_data.set_state(restored.data)
    return restored.state

  # 4. Otherwise a fresh state, sharded from the start.
  def init(root: jax.Array, *args: Any) -> TrainState:
    return nn.unbox(task.init(named_key(root, "init"), *args))

  shardings = jax.tree.map(lambda x: x.sharding, abstract)
  sharded_init = jax.jit(init, out_shardings=shardings)
  return sharded_init(root, *getattr(task, "init_args", ()))


def _compile_update(
  task: Task, log: RunLog, state: TrainState, batch: Batch, root: jax.Array
) -> jax.stages.Compiled:
  log.print("compiling the training step ...")
  start = time.monotonic()
  lowered = make_update(task, state).lower(state, batch, root)
  compiled = lowered.compile(tuning.current().compiler_options)
  log.print(f"compiled in {time.monotonic() - start:.1f} s")
  return compiled


def _evaluator(
  task: Task, config: TrainConfig, mesh: jax.sharding.Mesh, log: RunLog
) -> Callable[
  [TrainState, Iterable[Any]], tuple[dict[str, float], dict[str, np.ndarray]]
]:
  """(state, batches) -> means over at most `eval_batches` batches, and sounds.

  The sounds are of the first batch, see `sounds.make_sample_fn`.
  """
  log.print("compiling the evaluation with its first batch ...")
  measured = _measured(task, mesh, log)
  sample = make_sample_fn(_sounds_of(task), config.samples, mesh)
  jitted = jax.jit(
    task.evaluate, compiler_options=tuning.current().compiler_options
  )

  def evaluate(
    state: TrainState, batches: Iterable[Any]
  ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    results, sounds = [], dict[str, np.ndarray]()
    for batch in itertools.islice(batches, config.eval_batches):
      rows = measured(state, meshes.shard_batch(batch, mesh), None)
      sounds = sounds or sample(state, rows)
      results.append(jitted(state, rows))
    if not results:
      raise UserError("no evaluation batch: give more data or a smaller batch")
    values = jax.device_get(results)
    means = {
      f"eval/{k}": float(np.mean([v[k] for v in values])) for k in values[0]
    }
    return means, sounds

  return evaluate


def _sounds_of(task: Task) -> Any:
  """`Sounds` of a task, or None."""
  return getattr(task, "sounds", None)


def _next(train_data: TrainData, step: int) -> Mapping[str, np.ndarray]:
  try:
    return next(train_data)
  except StopIteration:
    raise UserError(
      f"training data ended at step {step}; it must repeat"
    ) from None


def _root_key(seed: int, mesh: jax.sharding.Mesh) -> jax.Array:
  """The run's key, replicated on every device of every process."""
  sharding = meshes.replicated(mesh)
  return jax.jit(lambda: jax.random.key(seed), out_shardings=sharding)()


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[int], bool]]:
  """Yields step -> whether to save and stop (SIGTERM, or Ctrl-C once)."""
  if jax.process_count() > 1:
    # jax.distributed handles SIGTERM and makes all processes agree on a step.
    yield multihost_utils.reached_preemption_sync_point
    return
  received: set[int] = set()
  previous: dict[int, Any] = {}
  repeats = Repeats()

  def on_signal(number: int, _: FrameType | None) -> None:
    if repeats.is_repeat(number):
      return
    if number in received:  # A second one stops at once.
      signal.signal(number, previous[number])
      signal.raise_signal(number)
    received.add(number)

  for number in (signal.SIGTERM, signal.SIGINT):
    with contextlib.suppress(ValueError):  # Not the main thread: no signals.
      previous[number] = signal.signal(number, on_signal)
  try:
    yield lambda step: bool(received)
  finally:
    for caught, handler in previous.items():
      signal.signal(caught, handler)
