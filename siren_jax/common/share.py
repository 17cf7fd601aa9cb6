"""Which rows of a global batch a process reads."""

from typing import NamedTuple

import numpy as np

from siren_jax.common.errors import UserError


class Share(NamedTuple):
  """A batch is cut into `count` blocks of rows; ours are `blocks`.

  Processes whose devices hold the same rows (other experts, another part of
  each matrix) have the same share.
  """

  blocks: tuple[int, ...] = (0,)
  count: int = 1

  def rows(self, batch_size: int) -> np.ndarray:
    """Numbers of our rows, in the order of `blocks`.

    Raises:
      UserError: the batch cannot be cut into so many blocks.
    """
    size, rest = divmod(batch_size, self.count)
    if batch_size < 1 or rest:
      raise UserError(
        f"batch of {batch_size} does not divide among the {self.count} devices"
        " that share it; choose a positive multiple of that"
      )
    return np.add.outer(np.array(self.blocks) * size, np.arange(size)).ravel()


WHOLE = Share()
