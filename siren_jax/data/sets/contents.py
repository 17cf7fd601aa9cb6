"""What a prepared set holds, in lines to look at."""

import collections
import os
from collections.abc import Iterator

from siren_jax.common.text import printable
from siren_jax.data.sets import reader, schema

EXAMPLES = 10
_LABELS = 20  # that are named


def examples(path: str | os.PathLike) -> list[str]:
  """A line each for a few records, spread over the set: id and captions."""
  splits = [reader.open_source(path, name) for name in reader.splits(path)]
  places = [(split, i) for split in splits for i in range(len(split))]
  count = min(EXAMPLES, len(places))
  chosen = [places[n * len(places) // count] for n in range(count)]
  return [_example(split[i]) for split, i in chosen]


def _example(record: reader.Element) -> str:
  first, *others = record["captions"]
  more = f" (and {len(others)} more)" if others else ""
  return f"{printable(record['id'])}: {printable(first)}{more}"


def counts(path: str | os.PathLike) -> Iterator[str]:
  """A line for each split, and one for the labels; reads the whole set."""
  labels: collections.Counter[str] = collections.Counter()
  for name in reader.splits(path):
    split = reader.open_source(path, name, cached=False)
    seconds = 0.0
    for i in range(len(split)):
      record = split[i]
      labels[record["label"]] += 1
      seconds += schema.seconds_of(record)
    length = f", {seconds:.1f} s of sound" if seconds else ""
    yield f"{name}: {len(split)} records{length}"
  named = [f"{printable(k) or '(none)'} {n}" for k, n in labels.most_common()]
  more = f" and {len(named) - _LABELS} more" if len(named) > _LABELS else ""
  yield f"labels: {', '.join(named[:_LABELS])}{more}"
