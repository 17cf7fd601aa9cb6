"""Which rows of a global batch a process reads."""

import dataclasses

import numpy as np

from siren_jax.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Shard:
  """A batch is split into `count` blocks of rows; `blocks` are ours.

  Processes whose devices hold the same rows (but other experts or other parts
  of matrices) have the same shard.
  """

  blocks: tuple[int, ...] = (0,)
  count: int = 1

  def rows(self, batch_size: int) -> np.ndarray:
    """Numbers of our rows, in the order of `blocks`.

    Raises:
      UserError: see `block_size`.
    """
    size = block_size(batch_size, self.count)
    return np.add.outer(np.array(self.blocks) * size, np.arange(size)).ravel()


WHOLE_BATCH = Shard()


def block_size(batch_size: int, count: int) -> int:
  """Rows of each of `count` blocks.

  Raises:
    UserError: the batch is not divisible by `count`.
  """
  size, rest = divmod(batch_size, count)
  if batch_size < 1 or rest:
    raise UserError(
      f"a batch of {batch_size} cannot be split evenly over {count} devices;"
      f" choose a positive multiple of {count}"
    )
  return size
