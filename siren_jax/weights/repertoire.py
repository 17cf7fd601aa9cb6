"""The repertoire of a bundle: kinds of sound, and authors of recordings.

kinds.json           {"far_threshold", "kinds": [...], "credits": [...]}
kinds.safetensors    embeddings of length one, times 127, int8: `known_IxE` of
                     phrases, `kind_I`: the kind that each names, `other_IxE`
                     of words that no recording was called; `described_IxE` of
                     descriptions that avoid the name of their kind,
                     `described_kind_I`, and `several_IxE` of captions of
                     several sounds (older bundles lack these three)

A bundle may lack both. Axis I: texts.
"""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from siren_jax.common import config as configs
from siren_jax.common import files
from siren_jax.common.errors import UserError, about
from siren_jax.storage import tensors

TEXT, EMBEDDINGS = "kinds.json", "kinds.safetensors"
# Chosen by benchmarks/far_prompts.py, on both halves of its prompts.
FAR = 0.12
_REMEDY = "get both from the same export, or remove both"
_SHARPNESS = 20.0  # of the soft maximum of cosines
_SCALE = 127
_RANKS = {"known_IxE": 2, "kind_I": 1, "other_IxE": 2}
_ADDED_RANKS = {"described_IxE": 2, "described_kind_I": 1, "several_IxE": 2}


@dataclasses.dataclass(frozen=True)
class Kind:
  """A kind of sound that a model was trained on.

  Attributes:
    name: as its data set calls it.
    group: that it is shown in.
    example: a prompt for it.
    clips: training recordings.
    seconds: of them all; 0 where the manifest does not say.
    quality: share of generated clips that a classifier recognises; None: not
      measured.
  """

  name: str
  group: str
  example: str
  clips: int
  seconds: float = 0.0
  quality: float | None = None

  def __post_init__(self) -> None:
    if self.clips < 1 or self.seconds < 0:
      raise UserError(
        f"kind {self.name!r}: {self.clips} clips of {self.seconds:g} s; needs"
        " at least 1 clip, of 0 s or more"
      )
    if self.quality is not None and not 0 <= self.quality <= 1:
      raise UserError(
        f"kind {self.name!r}: quality {self.quality:g}; must be 0 to 1"
      )


@dataclasses.dataclass(frozen=True)
class Credit:
  """An author, a licence and a source of recordings; "" where not known."""

  author: str
  license: str
  source: str
  clips: int


@dataclasses.dataclass(frozen=True)
class _Text:
  """Content of kinds.json."""

  far_threshold: float
  kinds: tuple[Kind, ...]
  credits: tuple[Credit, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Repertoire:
  """Kinds and credits, and where the kinds lie among words.

  Attributes:
    kinds: at least one.
    credits: of all training recordings.
    known_IxE, kind_I, other_IxE: as stored, and so are
    described_IxE, described_kind_I, several_IxE: may have no rows.
    far_threshold: a prompt of a smaller `margin` is far from all kinds.
  """

  kinds: tuple[Kind, ...]
  credits: tuple[Credit, ...]
  known_IxE: np.ndarray
  kind_I: np.ndarray
  other_IxE: np.ndarray
  described_IxE: np.ndarray
  described_kind_I: np.ndarray
  several_IxE: np.ndarray
  far_threshold: float = FAR

  def __post_init__(self) -> None:
    for name, rank in (_RANKS | _ADDED_RANKS).items():
      array = getattr(self, name)
      if array.ndim != rank or not np.issubdtype(array.dtype, np.integer):
        raise UserError(
          f"{name} of type {array.dtype} and shape {list(array.shape)}: must be"
          f" integers of {rank} axes; {_REMEDY}"
        )
    sizes = len(self.known_IxE), len(self.kind_I), len(self.other_IxE)
    if not all(sizes) or sizes[0] != sizes[1]:
      raise UserError(
        f"{sizes[0]} phrases, {sizes[1]} kind ids and {sizes[2]} other words:"
        " need as many ids as phrases, and at least 1 of each;"
        f" {_REMEDY}"
      )
    descriptions, count = len(self.described_IxE), len(self.described_kind_I)
    if descriptions != count:
      raise UserError(
        f"{descriptions} descriptions and {count} kind ids: need as many ids as"
        f" descriptions; {_REMEDY}"
      )
    ids = np.concatenate([self.kind_I, self.described_kind_I])
    if ids.min() < 0 or ids.max() >= len(self.kinds):
      raise UserError(
        f"texts of kinds {ids.min()} to {ids.max()}, but there are"
        f" {len(self.kinds)}; {_REMEDY}"
      )

  def measured(self, quality: Any) -> "Repertoire":
    """With the quality of these kinds: a share by name.

    Raises:
      UserError: it is something else, there is no such kind, or a share is not
        0 to 1.
    """
    if not isinstance(quality, Mapping) or not all(
      type(share) in (int, float) for share in quality.values()
    ):
      raise UserError(
        f"quality {quality!r:.60}: must be a share from 0 to 1 for each kind,"
        ' such as {"rain": 0.9}'
      )
    unknown = sorted(set(quality) - {kind.name for kind in self.kinds})
    if unknown:
      raise UserError(
        f"kind {unknown[0]!r}: the model does not know it; remove it, or give"
        " the manifest that has it"
      )
    kinds = tuple(
      dataclasses.replace(kind, quality=quality.get(kind.name, kind.quality))
      for kind in self.kinds
    )
    return dataclasses.replace(self, kinds=kinds)

  @property
  def groups(self) -> Mapping[str, Sequence[Kind]]:
    """The kinds by group, both in alphabetical order."""
    groups = collections.defaultdict(list)
    for kind in sorted(self.kinds, key=lambda kind: (kind.group, kind.name)):
      groups[kind.group].append(kind)
    return groups

  def margin(self, text_E: np.ndarray) -> float:
    """How much closer a text is to known phrases than to other words."""
    known = soft_maximum(cosines(self.known_IxE, text_E))
    return known - soft_maximum(cosines(self.other_IxE, text_E))

  def check(self, width: int) -> None:
    """Refuses embeddings of another CLAP's width.

    Raises:
      UserError: they are not `width` wide.
    """
    for name in ("known_IxE", "other_IxE", "described_IxE", "several_IxE"):
      if (own := getattr(self, name).shape[1]) != width:
        raise UserError(
          f"{name} is {own} wide, embeddings of this CLAP are {width} wide;"
          f" {_REMEDY}"
        )


def load(folder: str | os.PathLike) -> Repertoire | None:
  """The repertoire of the bundle in `folder`; None if it has none.

  Raises:
    UserError: one of the two files is missing or broken, or they do not fit
      each other.
  """
  folder = pathlib.Path(folder)
  path = folder / TEXT
  if not path.exists() and not (folder / EMBEDDINGS).exists():
    return None
  content = files.read_json(path, _REMEDY)
  with about(path):
    text = configs.from_dict(_Text, content)
  arrays = tensors.read(folder / EMBEDDINGS)
  with about(folder / EMBEDDINGS):
    if set(arrays) == set(_RANKS):
      none_IxE, none_I = arrays["known_IxE"][:0], arrays["kind_I"][:0]
      arrays |= dict.fromkeys(("described_IxE", "several_IxE"), none_IxE)
      arrays["described_kind_I"] = none_I
    if set(arrays) != set(_RANKS | _ADDED_RANKS):
      raise UserError(
        f"tensors {', '.join(sorted(arrays)) or 'none'}: expected"
        f" {', '.join(_RANKS | _ADDED_RANKS)}; {_REMEDY}"
      )
    return Repertoire(
      text.kinds, text.credits, **arrays, far_threshold=text.far_threshold
    )


def save(folder: pathlib.Path, repertoire: Repertoire) -> None:
  """Writes both files into a folder.

  Raises:
    UserError: a text could not be loaded again.
  """
  text = _Text(repertoire.far_threshold, repertoire.kinds, repertoire.credits)
  values = configs.to_dict(text)
  configs.from_dict(_Text, values)
  content = json.dumps(values, indent=1, ensure_ascii=False)
  (folder / TEXT).write_text(content + "\n", "utf-8")
  names = _RANKS | _ADDED_RANKS
  arrays: dict[str, Any] = {name: getattr(repertoire, name) for name in names}
  tensors.save(folder / EMBEDDINGS, arrays)


def stored(text_IxE: np.ndarray) -> np.ndarray:
  """Embeddings of length one, as `Repertoire` has them."""
  return np.round(text_IxE * _SCALE).astype(np.int8)


def cosines(stored_IxE: np.ndarray, text_E: np.ndarray) -> np.ndarray:
  """Cosines [I] of `stored` embeddings and one of length one."""
  return stored_IxE @ np.asarray(text_E, np.float32) / _SCALE


def soft_maximum(cosine_I: np.ndarray) -> float:
  """Of cosines: many near texts count more than one; of none, -inf."""
  return float(np.logaddexp.reduce(_SHARPNESS * cosine_I) / _SHARPNESS)
