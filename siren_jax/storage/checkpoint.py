"""Checkpoints: one Orbax step holds the state, the data iterator, the config.

A step is written under a temporary name and renamed when it is whole, so a
process killed at any moment leaves the step before. A step that cannot be
read is moved aside (never deleted) once an older one has been restored.
"""

import contextlib
import dataclasses
import errno
import itertools
import json
import logging
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.storage import checksums, folders, tensors

# A file is assembled in memory before it is written. With Orbax's 2 GiB, this
# can be a second copy of the state (benchmarks/checkpoint_memory.py).
FILE_BYTES = 64 << 20

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Restored:
  """Content of a checkpoint."""

  step: int
  state: Any
  data: Any
  config: dict[str, Any]


class Checkpoints:
  """The checkpoints of one work directory; a context manager."""

  def __init__(self, workdir: Path | str, keep: int = 3):
    self.directory = paths.local(workdir).absolute() / folders.CHECKPOINTS
    self._remove_half_written()
    with _quiet():
      self._manager = ocp.CheckpointManager(
        self.directory,
        options=ocp.CheckpointManagerOptions(max_to_keep=keep),
        item_names=("state", "data", "config", "sums"),
      )

  def __enter__(self) -> "Checkpoints":
    self._quiet = _quiet()
    self._quiet.__enter__()
    return self

  def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
    try:
      self._manager.close()
    except Exception as error:
      message = self._unwritable(error)
      if kind is None:  # Otherwise another error is already propagating.
        raise message from error
    finally:
      self._quiet.__exit__(None, None, None)

  def latest_step(self) -> int | None:
    """Newest whole step, or None."""
    return self._manager.latest_step()

  def save(
    self, step: int, state: Any, data: Any, config: Mapping[str, Any]
  ) -> None:
    """Copies `state` to the host and writes it in the background.

    `state` may be donated as soon as this returns.

    Raises:
      UserError: this or the save before could not be written (full disk).
    """
    try:
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.PyTreeSave(
            state, ocdbt_target_data_file_size=_file_bytes(state)
          ),
          data=ocp.args.JsonSave(data),
          config=ocp.args.JsonSave(dict(config)),
          sums=ocp.args.JsonSave(
            checksums.of_arrays(state)
            | _json_sums(data=data, config=dict(config))
          ),
        ),
        force=True,
      )
    except Exception as error:
      raise self._unwritable(error) from error

  def wait(self) -> None:
    """Returns when the last save is on disk.

    Raises:
      UserError: it could not be written (full disk).
    """
    try:
      self._manager.wait_until_finished()
      self._manager.check_for_errors()
    except Exception as error:
      raise self._unwritable(error) from error

  def check(self) -> None:
    """Returns at once.

    Raises:
      UserError: a save in the background has failed (full disk).
    """
    if not self._manager.is_saving_in_progress():
      self.wait()

  def restore_latest(self, abstract_state: Any) -> Restored | None:
    """Newest step that can be read, or None if there are no steps.

    Args:
      abstract_state: `jax.ShapeDtypeStruct`s with shardings.

    Raises:
      UserError: there are steps and none can be read.
    """
    broken = {}
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        items = self._manager.restore(
          step,
          args=ocp.args.Composite(
            state=ocp.args.PyTreeRestore(
              abstract_state,
              ocp.checkpoint_utils.construct_restore_args(abstract_state),
            ),
            data=ocp.args.JsonRestore(),
            config=ocp.args.JsonRestore(),
            sums=ocp.args.JsonRestore(),
          ),
        )
        _verify(items.state, items.sums, data=items.data, config=items.config)
      except Exception as error:  # Orbax raises many kinds for a broken file.
        if _is_of_machine(error):
          raise
        broken[step] = error
        _log.warning(
          "checkpoint %d cannot be read, trying the one before", step
        )
        continue
      self._move_aside(list(broken))
      return Restored(step, items.state, items.data, items.config)
    if broken:
      first = _first_line(broken[max(broken)])
      raise UserError(
        f"none of the checkpoints {sorted(broken)} in {self.directory} can be"
        f" read ({first}); choose another work directory to start afresh"
      )
    return None

  def _move_aside(self, steps: Sequence[int]) -> None:
    if steps and jax.process_index() == 0:
      for step in steps:
        aside = self.directory / f"unreadable-{step}"
        number = itertools.count(2)
        while aside.exists():
          aside = self.directory / f"unreadable-{step}-{next(number)}"
        (self.directory / str(step)).rename(aside)
    if steps:
      self._manager.reload()

  def _remove_half_written(self) -> None:
    if jax.process_index() == 0:
      for folder in self.directory.glob("*.orbax-checkpoint-tmp"):
        shutil.rmtree(folder, ignore_errors=True)

  def _unwritable(self, error: Exception) -> UserError:
    self._remove_half_written()
    reason = _first_line(error)
    if "RESOURCE_EXHAUSTED" in reason or "No space left" in reason:
      reason = "no space left on device, make room"
    return UserError(
      f"cannot write a checkpoint to {self.directory}: {reason}; then run the"
      " same command again (it resumes from the last complete one)"
    )


def _is_of_machine(error: Exception) -> bool:
  """Whether it is not the checkpoint that is at fault but what reads it."""
  if isinstance(error, OSError):
    return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
  return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def restore_params(
  workdir: Path | str, prefer_ema: bool = True
) -> tuple[dict[str, Any], Any, Any]:
  """Parameters of the newest readable checkpoint, for inference.

  Args:
    workdir: a training work directory.
    prefer_ema: return the averaged parameters if there are any.

  Returns:
    config dictionary, parameters and `extra` as trees of numpy arrays.

  Raises:
    UserError: no checkpoint, none that can be read, or a parameter that is not
      finite.
  """
  directory = paths.local(workdir).absolute() / folders.CHECKPOINTS
  if not directory.is_dir():
    raise UserError(f"no checkpoints in {workdir}; train there first")
  handlers = {
    "state": ocp.PyTreeCheckpointHandler(),
    "data": ocp.JsonCheckpointHandler(),
    "config": ocp.JsonCheckpointHandler(),
    "sums": ocp.JsonCheckpointHandler(),
  }
  with (
    _quiet(),
    ocp.CheckpointManager(directory, item_handlers=handlers) as manager,
  ):
    steps = sorted(manager.all_steps(), reverse=True)
    for step in steps:
      try:
        config, params, extra = _read_params(manager, step, prefer_ema)
      except Exception as error:  # Orbax raises many kinds for a broken file.
        if _is_of_machine(error):
          raise
        _log.warning("checkpoint %d cannot be read: %s", step, error)
        continue
      arrays = dict(checksums.named({"params": params, "extra": extra}))
      tensors.check_finite(directory / str(step), arrays)
      return config, params, extra
  raise UserError(
    f"no readable checkpoint in {workdir} (steps: {steps or 'none'})"
  )


def _read_params(
  manager: ocp.CheckpointManager, step: int, prefer_ema: bool
) -> tuple[dict[str, Any], Any, Any]:
  whole = manager.item_metadata(step).state.tree
  name = "ema" if prefer_ema and whole.get("ema") else "params"
  expected = {k: whole[k] for k in (name, "extra") if whole.get(k)}
  items = manager.restore(
    step,
    args=ocp.args.Composite(
      state=ocp.args.PyTreeRestore(
        expected,
        restore_args=jax.tree.map(
          lambda _: ocp.RestoreArgs(restore_type=np.ndarray), expected
        ),
        partial_restore=True,
      ),
      config=ocp.args.JsonRestore(),
      sums=ocp.args.JsonRestore(),
    ),
  )
  _verify(items.state, items.sums, config=items.config)
  return items.config, items.state[name], items.state.get("extra", {})


def _file_bytes(tree: Any) -> int:
  """At least the largest array: Orbax would split it, prime axes into ones."""
  return max([FILE_BYTES, *(leaf.nbytes for leaf in jax.tree.leaves(tree))])


def _json_sums(**items: Any) -> dict[str, int]:
  """Checksum of each item, as read back from JSON."""
  read = {name: json.loads(json.dumps(item)) for name, item in items.items()}
  return {
    f"json {name}": zlib.crc32(json.dumps(item, sort_keys=True).encode())
    for name, item in read.items()
  }


def _verify(tree: Any, sums: Mapping[str, int], **items: Any) -> None:
  checksums.verify(tree, sums)
  for name, value in _json_sums(**items).items():
    if sums.get(name, value) != value:  # None before 2026-11-25.
      raise ValueError(f"{name} does not match its checksum")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Silences Orbax's long logs of errors that it also raises."""
  logger = logging.getLogger("absl")
  level = logger.level
  logger.setLevel(logging.CRITICAL)
  try:
    yield
  finally:
    logger.setLevel(level)


def _first_line(error: Exception) -> str:
  return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
