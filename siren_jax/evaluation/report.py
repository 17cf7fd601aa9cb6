"""Figures of generated clips against reference clips, and their presentation.

Keys: those of `MEANING`. Intervals are of 95 %, by a bootstrap over clips.
Repeated clips in a bootstrap sample bias the Fréchet distance upwards, so its
interval is shifted to the figure.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from siren_jax.common.errors import UserError
from siren_jax.evaluation import clips, divergence, frechet
from siren_jax.evaluation.cache import Cache
from siren_jax.evaluation.clips import Clip, Log
from siren_jax.evaluation.scorers import BatchConfig, Features, Panel, Scorer

DRAWS = 200
ENOUGH = 20  # clips, for the extrapolation of a distance
_SHOWN = 3  # lines about skipped clips
MEANING = {
  "fad": "Fréchet distance of windows, lower is better",
  "fad_inf": "the same, extrapolated to infinitely many clips",
  "fd": "Fréchet distance of clips, lower is better",
  "is": "inception score, higher is better",
  "kl": "KL(reference || generated) of pairs, lower is better",
  "clap": "cosine of caption and clip, higher is better",
  "mel": "multi-scale log mel distance of pairs, lower is better",
  "stft": "multi-scale STFT distance of pairs, lower is better",
  "si_sdr": "scale-invariant SDR of pairs in dB, higher is better",
}


@dataclasses.dataclass(frozen=True)
class PanelFeatures:
  """Features of the clips of a folder by all scorers, one entry per clip.

  Attributes:
    names: of the clips; equal names are pairs.
    windows, tagger, text: features by each scorer.
    captions: of the clips; None for clips without one.
  """

  names: Sequence[str]
  windows: Sequence[Features]
  tagger: Sequence[Features]
  text: Sequence[Features]
  captions: Sequence[str | None]


class Side(NamedTuple):
  """Clips that the whole panel can use, and their features.

  Attributes:
    clips, features: in one order.
    rates: sample rates of the clips' files.
    problems: with JSON files that should hold captions, a line each.
  """

  clips: Sequence[Clip]
  features: PanelFeatures
  rates: Sequence[int]
  problems: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure with its interval, and the number of clips behind it."""

  value: float
  low: float
  high: float
  clips: int


@dataclasses.dataclass(frozen=True)
class Remarks:
  """Remarks shown with the figures.

  Attributes:
    rates: numbers of clips by sample rate, by side.
    pairs: their number.
    warnings, skipped: a line each.
    notes: numbers of clips by the reader's note.
  """

  rates: Mapping[str, Mapping[int, int]]
  pairs: int
  warnings: Sequence[str]
  skipped: Sequence[str]
  notes: Mapping[str, int]

  def lines(self) -> list[str]:
    """Lines for the terminal, with the first few skipped clips."""
    lines = []
    for side, counts in self.rates.items():
      listed = ", ".join(f"{n} at {rate} Hz" for rate, n in counts.items())
      lines.append(f"{side} clips: {listed}")
    lines.append(f"pairs with the same name: {self.pairs}")
    if self.notes:
      notes = (f"{note} ({count})" for note, count in self.notes.items())
      lines.append(f"read with changes (clips): {'; '.join(notes)}")
    if self.skipped:
      rest = len(self.skipped) - _SHOWN
      more = [f"and {rest} more"] if rest > 0 else []
      listed = "; ".join([*self.skipped[:_SHOWN], *more])
      lines.append(f"skipped ({len(self.skipped)}): {listed}")
    return [*lines, *(f"warning: {warning}" for warning in self.warnings)]


def extract(
  recordings: Sequence[Clip],
  panel: Panel,
  cache: Cache,
  progress: Callable[[int], None],
  log: Log,
  batch: BatchConfig = BatchConfig(),
) -> Side:
  """Features of clips by the panel; a scorer with several roles runs once.

  A clip that one of the scorers cannot process is excluded for all of them, so
  that all figures are of the same clips.

  Raises:
    UserError: fewer than two are left.
  """
  start = len(log.messages)
  rates = clips.rates(recordings, log)  # first, before errors can waste work
  features = {
    scorer.fingerprint: clips.extract(
      recordings, scorer, cache, progress, log, batch
    )
    for scorer in panel.scorers
  }
  kept = [
    i
    for i, results in enumerate(zip(*features.values(), strict=True))
    if rates[i] and all(result is not None for result in results)
  ]
  if len(kept) < 2:
    reason = [*log.messages[start:], "add clips"][0]
    raise UserError(
      f"of {len(recordings)} clips ({recordings[0].path}, ...), only"
      f" {len(kept)} can be scored, but at least two are needed; {reason}"
    )

  def of(scorer: Scorer) -> list[Features]:
    results = (features[scorer.fingerprint][i] for i in kept)
    return [result for result in results if result is not None]  # none is None

  used = [recordings[i] for i in kept]
  captions, problems = clips.captions(used)
  by_role = PanelFeatures(
    [clip.name for clip in used],
    of(panel.windows),
    of(panel.tagger),
    of(panel.text),
    captions,
  )
  used_rates = [rate for i in kept if (rate := rates[i])]
  return Side(used, by_role, used_rates, problems)


def figures(
  reference: PanelFeatures,
  generated: PanelFeatures,
  panel: Panel,
  seed: int = 0,
) -> dict[str, Figure]:
  """All figures that can be computed.

  `kl` needs pairs, `clap` captions, and `fad_inf` `ENOUGH` clips.

  Raises:
    UserError: fewer than two clips in a folder.
  """
  for name, side in (("reference", reference), ("generated", generated)):
    if len(side.names) < 2:
      raise UserError(f"{len(side.names)} {name} clip: at least two are needed")
  rng = np.random.default_rng(seed)
  between = functools.partial(_distance, rng, reference, generated)
  values = {
    "fad": between("windows", "windows", _frechet_distance),
    "fd": between("tagger", "clip", _frechet_distance),
  }
  if len(generated.names) >= ENOUGH:
    values["fad_inf"] = between(
      "windows", "windows", frechet.frechet_extrapolated, draws=20
    )
  values |= reference_free(generated, panel, rng)
  pairs = clips.pairs(reference.names, generated.names)
  if pairs:
    probs = [
      divergence.probabilities(
        np.array([side.tagger[i]["logits"] for i in indices])
      )
      for side, indices in zip((reference, generated), zip(*pairs))
    ]
    values["kl"] = _mean(rng, divergence.kl_divergence(*probs))
  return {key: values[key] for key in MEANING if key in values}


def reference_free(
  side: PanelFeatures, panel: Panel, rng: np.random.Generator
) -> dict[str, Figure]:
  """Figures that need no other clips."""
  logits = np.array([features["logits"] for features in side.tagger])
  # Shuffled: in splits of similar clips, the score would be about one.
  probs = rng.permutation(divergence.probabilities(logits))

  def score(rows: np.ndarray) -> float:
    return divergence.inception_score(probs[rows])[0]

  values = {"is": _bootstrap(rng, score, len(probs), centred=True)}
  captioned = [(i, text) for i, text in enumerate(side.captions) if text]
  if captioned:
    assert panel.text.embed_text is not None
    texts = panel.text.embed_text([caption for _, caption in captioned])
    audio = np.array([side.text[i]["text_space"] for i, _ in captioned])
    values["clap"] = _mean(rng, np.sum(texts * audio, -1))
  return values


def _distance(
  rng: np.random.Generator,
  reference: PanelFeatures,
  generated: PanelFeatures,
  role: str,
  name: str,
  distance: Callable[[np.ndarray, Sequence[np.ndarray]], float],
  draws: int = DRAWS,
) -> Figure:
  """A distance of distributions; the bootstrap draws clips with all windows."""
  fixed = rows_of(getattr(reference, role), name)
  by_clip = [np.atleast_2d(x[name]) for x in getattr(generated, role)]

  def of(rows: np.ndarray) -> float:
    return distance(fixed, [by_clip[i] for i in rows])

  return _bootstrap(rng, of, len(by_clip), centred=True, draws=draws)


def _frechet_distance(
  reference_IxD: np.ndarray, clips: Sequence[np.ndarray]
) -> float:
  return frechet.frechet_distance(reference_IxD, np.concatenate(clips))


def rows_of(features: Sequence[Features], name: str) -> np.ndarray:
  """Array `name` of all clips [B, D], with one row per window."""
  return np.concatenate([np.atleast_2d(x[name]) for x in features])


def _mean(rng: np.random.Generator, values: np.ndarray) -> Figure:
  return _bootstrap(rng, lambda rows: values[rows].mean(), len(values))


def _bootstrap(
  rng: np.random.Generator,
  of: Callable[[np.ndarray], float],
  count: int,
  centred: bool = False,
  draws: int = DRAWS,
) -> Figure:
  value = float(of(np.arange(count)))
  drawn = [of(rng.integers(count, size=count)) for _ in range(draws)]
  low, high = np.percentile(drawn, [2.5, 97.5])
  if centred:
    low, high = np.array([low, high]) - np.median(drawn) + value
  return Figure(value, float(low), float(high), count)


def means(values: dict[str, np.ndarray], seed: int = 0) -> dict[str, Figure]:
  """Means of values [B], by name."""
  rng = np.random.default_rng(seed)
  return {name: _mean(rng, value) for name, value in values.items()}


def head(panel: Panel) -> dict[str, str]:
  """The scorer of each figure, its sample rate and resampler."""
  return {
    keys: f"{s.name}, {s.sample_rate} Hz, {s.resampler}"
    for keys, s in panel.roles.items()
  }


def markdown(
  rows: dict[str, dict[str, Figure]],
  scorers: dict[str, str],
  remarks: Remarks | None = None,
) -> str:
  """A table with one row per folder, the scorers and `remarks`."""
  keys = [key for key in MEANING if any(key in row for row in rows.values())]
  lines = [f"{keys_}: {scorer}" for keys_, scorer in scorers.items()]
  lines += remarks.lines() if remarks else []
  lines += ["", f"| clips | {' | '.join(keys)} |"]
  lines.append("|---" * (len(keys) + 1) + "|")
  for name, row in rows.items():
    cells = [_cell(row[key]) if key in row else "" for key in keys]
    lines.append(f"| {name} | {' | '.join(cells)} |")
  lines.append("")
  lines += [f"{key}: {MEANING[key]}" for key in keys]
  return "\n".join(lines) + "\n"


def _cell(figure: Figure) -> str:
  return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def as_json(
  rows: dict[str, dict[str, Figure]],
  scorers: dict[str, str],
  remarks: Remarks | None = None,
) -> dict[str, Any]:
  """The same as JSON, with the generated clips' figures at the top level."""
  first = next(iter(rows.values()))
  return {
    **{key: figure.value for key, figure in first.items()},
    "scorers": scorers,
    "rows": {
      name: {k: dataclasses.asdict(f) for k, f in row.items()}
      for name, row in rows.items()
    },
    **(dataclasses.asdict(remarks) if remarks else {}),
  }
