"""Remarks for interpreting the figures: counts, gaps and reasons.

Missing figures are explained. Figures of too few clips, or of clips that differ
in sample rate, get a warning.
"""

import collections
from collections.abc import Iterator, Sequence

from siren_jax.evaluation import clips, divergence, report
from siren_jax.evaluation.report import PanelFeatures, Remarks, Side
from siren_jax.evaluation.scorers import Panel

# Share of a scorer's band in which its resampler is flat within 0.2 dB.
_FLAT = {"soxr": 0.93, "torchaudio": 0.75}


def of(
  reference: Side, generated: Side, panel: Panel, log: clips.Log
) -> Remarks:
  """Remarks on the figures of these clips.

  Args:
    log: from finding and reading them.
  """
  sides = {"generated": generated, "reference": reference}
  rates = {
    name: dict(sorted(collections.Counter(side.rates).items()))
    for name, side in sides.items()
  }
  names = reference.features.names, generated.features.names
  pairs = len(clips.pairs(*names))
  return Remarks(
    rates=rates,
    pairs=pairs,
    warnings=[
      *_pairs(*names, pairs),
      *_captions(sides),
      *_counts({name: side.features for name, side in sides.items()}),
      *_bands(rates, panel),
      *_same(reference.clips, generated.clips),
    ],
    skipped=log.messages,
    notes=log.note_counts(),
  )


def _pairs(
  reference: Sequence[str], generated: Sequence[str], count: int
) -> Iterator[str]:
  if not count:
    yield (
      "kl: missing, as no generated clip has the name of a reference clip;"
      f" their names are like {generated[0]!r} and {reference[0]!r}"
    )
  elif count < len(generated):
    yield (
      f"kl: from {count} pairs; {len(generated) - count} of {len(generated)}"
      " generated clips have no reference clip of the same name"
    )


def _captions(sides: dict[str, Side]) -> Iterator[str]:
  for name, side in sides.items():
    captions, problems = side.features.captions, side.problems
    count = sum(caption is not None for caption in captions)
    if not count:
      yield (
        f"clap: missing for {name} clips, as none has a caption; give them in a"
        ' table, or as "prompt" in a JSON file beside each'
      )
    elif count < len(captions):
      yield (
        f"clap: from {count} of {len(captions)} {name} clips; the others have"
        " no caption"
      )
    if problems:
      yield (
        f"clap: {len(problems)} JSON files beside {name} clips hold no caption;"
        f" first: {problems[0]}"
      )


def _counts(sides: dict[str, PanelFeatures]) -> Iterator[str]:
  """Warnings of too few clips for a meaningful figure."""
  generated = len(sides["generated"].names)
  for key, role, array, unit in (
    ("fad", "windows", "windows", "windows"),
    ("fd", "tagger", "clip", "clips"),
  ):
    shapes = {
      name: report.rows_of(getattr(side, role), array).shape
      for name, side in sides.items()
    }
    width = min(shape[1] for shape in shapes.values())
    if min(shape[0] for shape in shapes.values()) <= width:
      counts = " and ".join(f"{n} {name}" for name, (n, _) in shapes.items())
      yield (
        f"{key}: from {counts} {unit} in {width} dimensions; with fewer than"
        f" {width + 1} {unit} it depends on their number: add clips, or compare"
        f" only figures from the same number of {unit}"
      )
  if generated < report.ENOUGH:
    yield (
      f"fad_inf: missing, as it needs {report.ENOUGH} generated clips and there"
      f" are {generated}"
    )
  for name, side in sides.items():
    if len(side.names) < 2 * divergence.SPLITS:
      yield (
        f"is: of {len(side.names)} {name} clips in up to {divergence.SPLITS}"
        f" splits; a split of one clip scores 1, so {2 * divergence.SPLITS}"
        " clips are needed for a meaningful score"
      )


def _bands(rates: dict[str, dict[int, int]], panel: Panel) -> Iterator[str]:
  """Warnings of sample rates that may affect the figures."""
  counts: collections.Counter[int] = collections.Counter()
  for side in rates.values():
    counts.update(side)
  lowest = min(counts)
  for scorer in panel.scorers:
    rate = scorer.sample_rate
    if len(counts) > 1:
      band = _FLAT[scorer.resampler] * min(rate, lowest) / 2
      yield (
        f"clips have different sample rates: {scorer.name} treats them the"
        f" same only below {band:.0f} Hz; resample all to one rate if they have"
        " content above that"
      )
    if lowest < rate:
      low = sum(count for key, count in counts.items() if key < rate)
      yield (
        f"{low} clips have sample rates below the {rate} Hz of {scorer.name}:"
        " they lack the top of its band; use recordings with a higher rate"
      )


def _same(
  reference: Sequence[clips.Clip], generated: Sequence[clips.Clip]
) -> Iterator[str]:
  known = {clip.content for clip in reference}
  same = [clip for clip in generated if clip.content in known]
  if same:
    yield (
      f"{len(same)} of {len(generated)} generated clips are also"
      f" reference clips, such as {same[0].path}"
    )
