"""The plan of an audio set: what goes into which split.

Pure, except for `with_usable`, whose predicate reads audio.
"""

import collections
import dataclasses
import math
import zlib
from collections.abc import Callable, Mapping, Sequence

from absl import logging

from siren_jax.common.errors import UserError
from siren_jax.data.captions import book
from siren_jax.data.preparation.config import AudioConfig
from siren_jax.data.sources.problems import Problems
from siren_jax.data.sources.recording import Recording

VALIDATION_SHARE = 0.05  # where no split and no fold says otherwise
MOST_COPIES = 20  # of a recording, to balance kinds


@dataclasses.dataclass(frozen=True)
class SplitPlan:
  """What goes into a split, in this order.

  Attributes:
    recordings: those that can be used.
    synthetic: numbers of made-up sounds.
    mixtures: how many, each of two of the recordings.
    sequences: how many, each of two or three of them.
    copies: of each recording of a kind, where there is more than one.
    layouts: whether short recordings are laid out.
  """

  recordings: tuple[Recording, ...] = ()
  synthetic: range = range(0)
  mixtures: int = 0
  sequences: int = 0
  copies: Mapping[str, int] = dataclasses.field(default_factory=dict)
  layouts: bool = False

  @property
  def size(self) -> int:
    recordings = sum(map(self.copies_of, self.recordings))
    composed = self.mixtures + self.sequences
    return recordings + len(self.synthetic) + composed

  def copies_of(self, recording: Recording) -> int:
    """How many records, or sets of windows, are made of a recording."""
    return self.copies.get(kind_of(recording), 1)


Plan = Mapping[str, SplitPlan]


def make_plan(recordings: Sequence[Recording], config: AudioConfig) -> Plan:
  """The plan for splits train and validation.

  Synthetic sounds are for training, or for validation if there are no others.

  Raises:
    UserError: too little for two splits, or for mixtures or sequences.
  """
  count = config.synthetic
  if recordings:
    parts = assign_splits(recordings, config)
    _warn_of_untrained(parts)
    held = 0
  elif count >= 2:
    parts = {"train": [], "validation": []}
    held = max(1, round(VALIDATION_SHARE * count))
  else:
    raise UserError(
      f"no source and synthetic={count}; give a folder or manifest, or"
      " synthetic=2 or more"
    )
  _check_categories(parts["train"], config)
  return {
    "train": SplitPlan(
      tuple(parts["train"]),
      range(held, count),
      mixtures=config.mixtures,
      sequences=config.sequences,
      copies=_copies(parts["train"], config.balance),
      layouts=config.layouts,
    ),
    "validation": SplitPlan(tuple(parts["validation"]), range(held)),
  }


def assign_splits(
  recordings: Sequence[Recording], config: AudioConfig
) -> dict[str, list[Recording]]:
  """Train and validation, each with at least one recording.

  A `split` or a validation fold decides; recordings with neither are for
  training. If none has either, a hash of the id selects about 5 %.

  Raises:
    UserError: no such fold, or nothing for one of them.
  """
  folds = sorted({r.fold for r in recordings if r.fold}, key=_by_number)
  fold = str(config.validation_fold) or (folds[-1] if folds else "")
  if fold and fold not in folds:
    raise UserError(
      f"validation_fold={fold}: no such fold;"
      f" there are {', '.join(folds) or 'none'}"
    )
  if fold or any(r.split for r in recordings):
    held = [
      r.split == "validation" or (not r.split and bool(fold) and r.fold == fold)
      for r in recordings
    ]
  else:
    held = _lowest_hashes(recordings)
  parts: dict[str, list[Recording]] = {"train": [], "validation": []}
  if config.every_kind:
    held = _without_lone_kinds(recordings, held)
  for recording, is_held in zip(recordings, held, strict=True):
    parts["validation" if is_held else "train"].append(recording)
  for name, part in parts.items():
    if not part:
      raise UserError(
        f"no recording is left for {name} (of {len(recordings)}); give two or"
        " more, and assign some to each split"
      )
  return parts


def with_usable(
  plan: Plan, is_usable: Callable[[Recording], bool], problems: Problems
) -> Plan:
  """The plan, changed so that each split has a recording that can be used.

  A split without one gets the usable recording of the other split whose id has
  the lowest hash. A split with synthetic sounds needs none.

  Args:
    plan: from `make_plan`.
    is_usable: called for as few recordings as possible.
    problems: records problems of the others.

  Raises:
    UserError: there are not enough.
  """
  parts = {name: list(part.recordings) for name, part in plan.items()}
  kept = {
    name: next(filter(is_usable, part), None) for name, part in parts.items()
  }
  for name, other in (("train", "validation"), ("validation", "train")):
    if kept[name] or plan[name].synthetic:
      continue
    needed = None if plan[other].synthetic else kept[other]
    spares = (r for r in _by_hash(parts[other]) if r is not needed)
    spare = next(filter(is_usable, spares), None)
    if spare is None:
      raise UserError(f"no usable sound for {name}: {problems.summary()}")
    parts[other].remove(spare)
    parts[name].append(spare)
    logging.warning(
      "no usable recording for %s; using %s instead", name, spare.id
    )
  return {
    name: dataclasses.replace(part, recordings=tuple(parts[name]))
    for name, part in plan.items()
  }


def kind_of(recording: Recording) -> str:
  """The kind that its category names, or its section."""
  if not recording.category:
    return recording.section
  return book.canonical(recording.category)


def label_of(recording: Recording) -> str:
  """Its category, "dog_bark" as "dog bark", or its section."""
  return book.spelled(recording.category) or recording.section


def hash_of(text: str) -> int:
  """32 bits that depend on the text alone, in every process."""
  return zlib.crc32(text.encode())


def _copies(recordings: Sequence[Recording], balance: int) -> dict[str, int]:
  """Copies of the recordings of each kind that has fewer than `balance`."""
  counts = collections.Counter(kind_of(r) for r in recordings)
  return {
    kind: min(MOST_COPIES, math.ceil(balance / count))
    for kind, count in counts.items()
    if kind and count < balance
  }


def _check_categories(
  recordings: Sequence[Recording], config: AudioConfig
) -> None:
  count = len({kind_of(r) for r in recordings if r.category})
  for name in ("mixtures", "sequences"):
    value = getattr(config, name)
    if value and count < 2:
      raise UserError(
        f"{name}={value}: recordings need two or more categories, got {count}"
      )


def _warn_of_untrained(parts: Mapping[str, Sequence[Recording]]) -> None:
  train, validation = (
    {kind_of(r) for r in parts[name] if r.category}
    for name in ("train", "validation")
  )
  if untrained := sorted(validation - train):
    logging.warning(
      "%d kinds, such as %s, are only in the validation split and are not"
      " trained on; --every-kind trains on them",
      len(untrained), ", ".join(untrained[:3]),
    )  # fmt: skip


def _without_lone_kinds(
  recordings: Sequence[Recording], held: Sequence[bool]
) -> list[bool]:
  """The held-out recordings, except of kinds that training would lack."""
  pairs = list(zip(recordings, held, strict=True))
  trained = {kind_of(r) for r, is_held in pairs if not is_held}
  return [
    is_held and not (r.category and kind_of(r) not in trained)
    for r, is_held in pairs
  ]


def _by_number(fold: str) -> tuple[bool, int, str]:
  """Numbers first, in their order: 9 before 10."""
  is_number = fold.isdecimal()
  return not is_number, int(fold) if is_number else 0, fold


def _lowest_hashes(recordings: Sequence[Recording]) -> list[bool]:
  """Whether a recording is among those of the lowest hashes; one at least."""
  hashes = [hash_of(r.id) for r in recordings]
  limit = max(VALIDATION_SHARE * 2**32, min(hashes, default=0))
  return [h <= limit for h in hashes]


def _by_hash(recordings: Sequence[Recording]) -> list[Recording]:
  return sorted(recordings, key=lambda r: (hash_of(r.id), r.id))
