"""Recordings to an audio set: a plan, its records, and what was written."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from siren_jax.data.preparation.config import AudioConfig
from siren_jax.data.preparation.plan import (
  Plan,
  SplitPlan,
  make_plan,
  with_usable,
)
from siren_jax.data.preparation.records import RecordMaker
from siren_jax.data.sets import schema, writer
from siren_jax.data.sets.index import SplitIndex
from siren_jax.data.sources import recordings
from siren_jax.data.sources.problems import Problems

SKIPPED = "skipped.txt"  # in the audio set: what could not be used, a line each


def prepare_audio(
  sources: Sequence[str | os.PathLike],
  out: str | os.PathLike,
  config: AudioConfig = AudioConfig(),
  *,
  overwrite: bool = False,
) -> dict[str, Any]:
  """Writes an audio set with splits train and validation to folder `out`.

  Args:
    sources: folders and manifests (see `recordings.find`); may be empty if
      there are synthetic sounds.
    out: a new folder.
    config: what to make.
    overwrite: `out` may be a data set; it is replaced when the new one is
      complete.

  Returns:
    Counts: records and seconds by split, skipped (what: skipped.txt in `out`),
    notes (what was resampled or mixed down).

  Raises:
    UserError: nothing usable, or `out` is there already, in use or not
      writable.
  """
  problems = Problems(config.strict)
  maker = RecordMaker(config, problems)
  with writer.claim(out, overwrite):
    plan = make_plan(recordings.find_all(sources, problems), config)
    plan = with_usable(plan, maker.is_usable, problems)
    indices = _write(out, plan, maker, problems)
  return {
    **_counts(indices),
    "skipped": len(problems.messages),
    "notes": dict(maker.notes),
  }


def _write(
  out: str | os.PathLike,
  plan: Plan,
  maker: RecordMaker,
  problems: Problems,
) -> dict[str, SplitIndex]:
  total = sum(part.size for part in plan.values())
  with tqdm(total=total, desc="preparing audio", unit=" sounds") as progress:

    def examples(part: SplitPlan) -> writer.Examples:
      for record in maker.records(part, progress.update):
        yield record.id, schema.to_example(record)

    return writer.write(
      out,
      schema.audio_features(),
      {split: examples(part) for split, part in plan.items()},
      lambda folder: _write_skipped(folder, problems),
    )


def _write_skipped(folder: Path, problems: Problems) -> None:
  if problems.messages:
    text = "".join(f"{message}\n" for message in problems.messages)
    (folder / SKIPPED).write_text(text, "utf-8")


def _counts(indices: Mapping[str, SplitIndex]) -> dict[str, Any]:
  counts: dict[str, Any] = {}
  for split, index in indices.items():
    counts |= {split: index.records, f"{split}_seconds": index.seconds}
  return counts
