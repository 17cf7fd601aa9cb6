"""The order of a stream of batches: shuffled, sharded, resumable.

The seed alone fixes the order of the whole stream. A process takes its share
of every global batch, so the state of an iterator (a step count) means the
same for any number of processes.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from siren_jax.common.share import Share
from siren_jax.data.store import Element, Source

Transform = Callable[[Element, np.random.Generator], Element]
Finish = Callable[[Any], dict[str, np.ndarray]]


class Batches(Protocol):
  """What the trainer reads; a grain.DatasetIterator is one."""

  def __iter__(self) -> Iterator[dict[str, np.ndarray]]: ...
  def __next__(self) -> dict[str, np.ndarray]: ...
  def get_state(self) -> dict[str, Any]: ...
  def set_state(self, state: dict[str, Any]) -> None: ...


@dataclasses.dataclass(frozen=True)
class Order:
  """Which rows come when.

  Attributes:
    seed: fixes shuffling and transforms.
    batch_size: rows over all processes.
    repeat: shuffle anew for ever. Else one pass in order, its last batch
      filled up with records from the start: every batch has the same shape.
    share: which rows of each batch are ours.
  """

  seed: int
  batch_size: int
  repeat: bool
  share: Share

  @functools.cached_property
  def _rows(self) -> np.ndarray:
    return self.share.rows(self.batch_size)

  @property
  def rows(self) -> int:
    """Rows of a batch that are ours."""
    return len(self._rows)

  def position(self, index: int) -> int:
    """Place in the global stream of our row `index`."""
    batch, row = divmod(index, self.rows)
    return batch * self.batch_size + int(self._rows[row])


def has_grain() -> bool:
  return importlib.util.find_spec("grain") is not None


def grain_batches(
  source: Source, transform: Transform, finish: Finish, order: Order
) -> Batches:
  """source -> seed -> shuffle -> repeat -> transform -> our rows -> batch."""
  import grain

  class OurRows(grain.MapDataset):
    """Blocks of each batch, not every n-th row: the assembled batch has the
    same order whatever the number of processes."""

    def __len__(self) -> int:
      return len(self._parent) // order.batch_size * order.rows

    def __getitem__(self, index: int):
      return self._parent[order.position(index)]

  data = grain.MapDataset.source(source).seed(order.seed % 2**32)
  if order.repeat:
    data = data.shuffle().repeat()
  else:
    count = len(source)
    whole = _batches_in(count, order) * order.batch_size
    rounds = whole // count + 1
    data = data.repeat(rounds, reseed_each_epoch=False)[:whole]
  data = OurRows(data.random_map(transform)).batch(order.rows).map(finish)
  # One thread, two batches ahead: the training step has the processor.
  reading = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
  return iter(data.to_iter_dataset(reading))


def plain_batches(
  source: Source, transform: Transform, finish: Finish, order: Order
) -> Batches:
  """The same without Grain, in an order of its own and without read-ahead."""
  return _PlainBatches(source, transform, finish, order)


class _PlainBatches:
  """Random access by permutation of each epoch; its state is a step count."""

  def __init__(self, source, transform, finish, order: Order):
    self._source, self._transform, self._finish = source, transform, finish
    self._order = order
    self._epoch, self._permutation = -1, None
    self._step = 0

  def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
    return self

  def __next__(self) -> dict[str, np.ndarray]:
    order = self._order
    if not order.repeat and self._step >= _batches_in(len(self._source), order):
      raise StopIteration
    first = self._step * order.rows
    rows = [self._row(order.position(first + i)) for i in range(order.rows)]
    self._step += 1
    return self._finish(
      {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    )

  def get_state(self) -> dict[str, Any]:
    return {"next_index": self._step}

  def set_state(self, state: dict[str, Any]) -> None:
    self._step = state["next_index"]

  def _row(self, position: int) -> Element:
    epoch, index = divmod(position, len(self._source))
    if self._order.repeat:
      index = self._shuffled(epoch)[index]
    rng = np.random.default_rng([self._order.seed, position])
    return self._transform(self._source[int(index)], rng)

  def _shuffled(self, epoch: int) -> np.ndarray:
    if epoch != self._epoch:
      rng = np.random.default_rng([self._order.seed, epoch])
      self._permutation = rng.permutation(len(self._source))
      self._epoch = epoch
    return self._permutation


def _batches_in(count: int, order: Order) -> int:
  """Batches of one pass, the last one filled up."""
  return -(-count // order.batch_size)
