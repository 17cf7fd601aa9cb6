"""Which rows of a global batch a process reads."""

import dataclasses

import numpy as np

from siren_jax.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Shard:
  """A batch is cut into `count` blocks of rows; ours are `blocks`.

  Processes whose devices hold the same rows (other experts, another part of
  each matrix) have the same shard.
  """

  blocks: tuple[int, ...] = (0,)
  count: int = 1

  def rows(self, batch_size: int) -> np.ndarray:
    """Numbers of our rows, in the order of `blocks`.

    Raises:
      UserError: as `block_size` does.
    """
    size = block_size(batch_size, self.count)
    return np.add.outer(np.array(self.blocks) * size, np.arange(size)).ravel()


WHOLE_BATCH = Shard()


def block_size(batch_size: int, count: int) -> int:
  """Rows of each of `count` blocks.

  Raises:
    UserError: the batch cannot be cut into so many.
  """
  size, rest = divmod(batch_size, count)
  if batch_size < 1 or rest:
    raise UserError(
      f"a batch of {batch_size} cannot be split evenly over {count} devices;"
      f" choose a positive multiple of {count}"
    )
  return size
