"""The order of a stream of batches: shuffled, sharded, resumable.

The seed alone fixes the order of the whole stream. A process takes its shard
of every global batch, so the state of an iterator (a step count) means the
same for any number of processes.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from siren_jax.common import extras
from siren_jax.common.errors import UserError
from siren_jax.common.shards import Shard
from siren_jax.data.sets.reader import Element, Source

if TYPE_CHECKING:
  import grain

Transform = Callable[[Element, np.random.Generator], Element]
Finish = Callable[[Any], dict[str, np.ndarray]]

ORDER = "grain-1"  # change this if the order for a seed changes

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ReadConfig:
  """How batches are read ahead; it does not affect their content.

  Attributes:
    threads: reading threads; the default leaves the CPU to the step.
    prefetch: number of batches read ahead.
  """

  threads: int = 1
  prefetch: int = 2

  def __post_init__(self) -> None:
    for name in ("threads", "prefetch"):
      value = getattr(self, name)
      if value < 1:
        raise UserError(f"data reading {name}={value}: must be at least 1")


@dataclasses.dataclass(frozen=True)
class Order:
  """Order of the rows.

  Attributes:
    seed: fixes shuffling and transforms.
    batch_size: rows over all processes.
    repeat: reshuffle and repeat forever. Otherwise one pass in order, with the
      last batch filled up from the start, so that all have the same shape.
    shard: which rows of each batch are ours.
  """

  seed: int
  batch_size: int
  repeat: bool
  shard: Shard

  @functools.cached_property
  def _rows(self) -> np.ndarray:
    return self.shard.rows(self.batch_size)

  @property
  def rows(self) -> int:
    """Number of our rows in a batch."""
    return len(self._rows)

  def position(self, index: int) -> int:
    """Position in the global stream of our row `index`."""
    batch, row = divmod(index, self.rows)
    return batch * self.batch_size + int(self._rows[row])


class Batches:
  """source -> seed -> shuffle -> repeat -> transform -> our rows -> batch.

  An iterator of dictionaries of arrays; its state is JSON.
  """

  def __init__(
    self,
    source: Source,
    transform: Transform,
    finish: Finish,
    order: Order,
    reading: ReadConfig = ReadConfig(),
  ):
    self._iterator = _grain(source, transform, finish, order, reading)

  def __iter__(self) -> "Batches":
    return self

  def __next__(self) -> dict[str, np.ndarray]:
    return next(self._iterator)

  def get_state(self) -> dict[str, Any]:
    """The position in the stream, and the name of its order."""
    return {"order": ORDER, "place": self._iterator.get_state()}

  def set_state(self, state: dict[str, Any]) -> None:
    """Continues from a state.

    Raises:
      UserError: the state belongs to another order.
    """
    if set(state) == {"next_index"}:
      _log.warning("the checkpoint names no data order; assuming %s", ORDER)
      state = {"order": ORDER, "place": state}
    if state.get("order") != ORDER:
      raise UserError(
        f"the data was read in order {state.get('order')!r}, but this version"
        f" reads it in {ORDER!r}; finish with the version that started the run,"
        " or choose another work directory"
      )
    self._iterator.set_state(state["place"])


def _grain(
  source: Source,
  transform: Transform,
  finish: Finish,
  order: Order,
  reading: ReadConfig,
) -> "grain.DatasetIterator[dict[str, np.ndarray]]":
  grain = extras.load("grain")  # slow to import
  base: Any = grain.MapDataset

  class OurRows(base):
    """Blocks of each batch, not every n-th row: the assembled batch has the
    same order whatever the number of processes."""

    def __len__(self) -> int:
      return len(self._parent) // order.batch_size * order.rows

    def __getitem__(self, index: int) -> Any:
      return self._parent[order.position(index)]

  data = grain.MapDataset.source(source).seed(order.seed % 2**32)
  if order.repeat:
    data = data.shuffle().repeat()
  else:
    count = len(source)
    # The last batch is filled up.
    whole = -(-count // order.batch_size) * order.batch_size
    rounds = whole // count + 1
    data = data.repeat(rounds, reseed_each_epoch=False)[:whole]
  data = OurRows(data.random_map(transform)).batch(order.rows).map(finish)
  options = grain.ReadOptions(
    num_threads=reading.threads, prefetch_buffer_size=reading.prefetch
  )
  return iter(data.to_iter_dataset(options))
