"""Prompts for the alignment: text files, captions, synthetic claims."""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from siren_jax.clap import tokenizer
from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.common.shards import WHOLE_BATCH, Shard
from siren_jax.data.sets import reader
from siren_jax.data.synthetic import sounds


class Prompt(NamedTuple):
  """`truth`: what the text claims; None if unknown."""

  text: str
  truth: sounds.Truth | None = None


def read(path: str | os.PathLike, split: str) -> list[Prompt]:
  """Lines of a text file (the same for every split), or captions of a set.

  Raises:
    UserError: neither exists, it holds no prompt, or it is a table.
  """
  path = paths.local(path)
  if path.is_file():
    from siren_jax.data.sources import tables  # needs soundfile

    texts = list(dict.fromkeys(tables.read_prompts(path)))
  else:
    texts = reader.captions(path, split)
  if not texts:
    raise UserError(f"{path}: no prompts; write one per line")
  return [Prompt(text) for text in texts]


def synthetic_prompts(
  count: int, seed: int, sample_rate: int, seconds: float
) -> list[Prompt]:
  """Captions of `count` synthetic sounds, with what they claim."""
  return [
    Prompt(caption, sound.truth)
    for sound in sounds.make_set(count, seed, sample_rate, seconds)
    for caption in sound.captions
  ]


class PromptBatches:
  """Endless batches of prompts; the n-th depends on the seed and n only.

  {"ids_BxP" int32, "mask_BxP" bool, "truth_B" int32, "place_B" int32}:
  `truth_B` numbers the prompts that have a truth, starting at `first_truth`; -1
  for the others. `place_B` is a row's index in the stream of all processes.
  """

  def __init__(
    self,
    prompts: Sequence[Prompt],
    words: Tokenizer,
    max_tokens: int,
    batch_size: int,
    seed: int,
    first_truth: int = 0,
    shard: Shard = WHOLE_BATCH,
  ):
    self._ids, self._mask = tokenizer.tokenize(
      words, [p.text for p in prompts], max_tokens
    )
    known = np.array([p.truth is not None for p in prompts])
    number = np.cumsum(known) - 1 + first_truth
    self._truth = np.where(known, number, -1).astype(np.int32)
    self._size, self._seed, self._step = batch_size, seed, 0
    self._shard = shard

  def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
    return self

  def __next__(self) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([self._seed, self._step])
    ours = self._shard.rows(self._size)
    place = self._step * self._size + ours
    self._step += 1
    count = len(self._ids)
    rows = rng.choice(count, self._size, replace=self._size > count)[ours]
    return {
      "ids_BxP": self._ids[rows],
      "mask_BxP": self._mask[rows],
      "truth_B": self._truth[rows],
      "place_B": (place % 2**31).astype(np.int32),
    }

  def get_state(self) -> dict[str, int]:
    return {"step": self._step}

  def set_state(self, state: dict[str, int]) -> None:
    self._step = state["step"]
