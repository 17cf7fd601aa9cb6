"""The repertoire of a bundle, from the manifests of its training data.

The kinds are the categories of the recordings that `prepare-data` trains on;
credits name those without a category too (instrument samples). Distance to
them is measured in the text tower's space, with the phrases of each kind and
the words of the tokenizer that are in no phrase. Descriptions of the kinds, and
captions of several of them, tell how a prompt is worded. No audio is needed.
"""

import collections
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from siren_jax.clap import Clap
from siren_jax.common.errors import UserError
from siren_jax.data.captions import phrasebook
from siren_jax.data.preparation.config import AudioConfig
from siren_jax.data.preparation.plan import assign_splits, kind_of
from siren_jax.data.sources import recordings as sources
from siren_jax.data.sources.problems import Problems
from siren_jax.data.sources.recording import Recording
from siren_jax.weights.repertoire import (
  FAR,
  Credit,
  Kind,
  Repertoire,
  stored,
)

# These sizes add a megabyte to a bundle; larger ones are no more accurate.
PHRASES = 8  # of a kind
SEVERAL = 4  # captions of several sounds, for each kind
OTHER_WORDS = 3500
_SAME = 0.75  # cosine from which a word means what a phrase does
_OTHER_GROUP = "other"
_BATCH = 512


def of_manifests(
  manifests: Sequence[str | os.PathLike],
  clap: Clap,
  config: AudioConfig = AudioConfig(),
  far_threshold: float = FAR,
) -> Repertoire:
  """Kinds and credits of what `prepare-data` trains on of these sources.

  Args:
    manifests: as of `prepare-data`; folders too.
    clap: whose text tower reads the prompts.
    config: what `prepare-data` was given; it says what was trained on.
    far_threshold: see `Repertoire`.

  Raises:
    UserError: a manifest cannot be read, or no row has a category.
  """
  every = sources.find_all(manifests, Problems())
  trained = assign_splits(every, config)["train"]
  by_kind = collections.defaultdict(list)
  for recording in trained:
    if recording.category:
      by_kind[kind_of(recording).lower()].append(recording)
  if not by_kind:
    raise UserError(
      f"{manifests[0]}: no recording has a category; add a column category, or"
      " leave the manifest out"
    )
  phrases = {name: phrasebook.phrases(name) for name in by_kind}
  known_IxE, kind_I, other_IxE = neighbours(clap, phrases)
  descriptions = [phrasebook.descriptions(name) for name in by_kind]
  return Repertoire(
    tuple(_kind(name, recordings) for name, recordings in by_kind.items()),
    _credits(trained),
    known_IxE,
    kind_I,
    other_IxE,
    _embedded(clap, list(itertools.chain(*descriptions))),
    np.repeat(np.arange(len(by_kind)), list(map(len, descriptions))).astype(
      np.int32
    ),
    _embedded(clap, several(tuple(by_kind), SEVERAL * len(by_kind))),
    far_threshold,
  )


def several(names: Sequence[str], count: int) -> list[str]:
  """At most `count` captions of two or three kinds, from a fixed seed."""
  if len(names) < 2:
    return []
  rng, captions = np.random.default_rng(0), list[str]()
  for _ in range(20 * count):  # a draw may give none
    if len(captions) == count:
      break
    kinds = [str(name) for name in rng.permutation(names)[:3]]
    way = rng.integers(len(kinds))
    if way == 0:
      captions += phrasebook.mixture_captions(kinds[0], kinds[1], rng, 1)
    else:
      kinds, counts = kinds[: way + 1], (0,) * (way + 1)
      captions += phrasebook.sequence_captions(kinds, counts, rng, 1)
  return captions


def _embedded(clap: Clap, texts: Sequence[str]) -> np.ndarray:
  """Embeddings of any number of texts, as `Repertoire` has them."""
  if texts:
    return stored(embed(clap, texts))
  return np.zeros((0, clap.config.embed_dim), np.int8)


def _kind(name: str, recordings: Sequence[Recording]) -> Kind:
  return Kind(
    name,
    phrasebook.group(name) or _OTHER_GROUP,
    phrasebook.example(name),
    clips=len(recordings),
    seconds=round(sum(r.seconds for r in recordings), 1),
  )


def _credits(recordings: Iterable[Recording]) -> tuple[Credit, ...]:
  """Clips by author, licence and source, in alphabetical order."""
  clips = collections.Counter(
    (
      _without_scheme(r.author),
      _without_scheme(r.license),
      _without_scheme(_collection(r.source)),
    )
    for r in recordings
  )
  rows = [Credit(*names, clips=count) for names, count in clips.items()]
  return tuple(sorted(rows, key=lambda c: (c.source, c.author, c.license)))


def _collection(source: str) -> str:
  """The site of a URL; other sources are what they are called."""
  host = re.match(r"\w+://([^/]+)", source)
  return host[1].lower().removeprefix("www.") if host else source


def _without_scheme(text: str) -> str:
  """Settings hold no URL; without its scheme it is only text."""
  return re.sub(r"\b\w+://", "", text)


def neighbours(
  clap: Clap, phrases: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """`known_IxE`, `kind_I` and `other_IxE` of `Repertoire`.

  Args:
    clap: whose embeddings they are.
    phrases: of each kind, in the order of their numbers.
  """
  texts = [text for kind in phrases.values() for text in kind]
  counts = [len(kind) for kind in phrases.values()]
  text_IxE = embed(clap, texts)
  rows = np.split(np.arange(len(texts)), np.cumsum(counts)[:-1])
  chosen = [own[_spread(text_IxE[own], PHRASES)] for own in rows]
  kind_I = np.repeat(np.arange(len(phrases)), list(map(len, chosen)))
  other = _other_words(clap, texts)
  if not other:
    raise UserError(
      "the tokenizer has no words beyond those of the captions, so distance"
      " from them cannot be measured; train CLAP with its teacher, or leave the"
      " manifests out"
    )
  other_IxE = embed(clap, other)
  nearest_I = np.array([(text_IxE @ word_E).max() for word_E in other_IxE])
  is_other = nearest_I <= max(_SAME, nearest_I.min())  # one at least
  return (
    stored(text_IxE[np.concatenate(chosen)]),
    kind_I.astype(np.int32),
    stored(other_IxE[is_other][:OTHER_WORDS]),
  )


def _spread(text_IxE: np.ndarray, count: int) -> np.ndarray:
  """Rows that lie far apart: the middle one, then the farthest, and so on."""
  rows = [int((text_IxE @ text_IxE.mean(0)).argmax())]
  nearest_I = text_IxE @ text_IxE[rows[0]]
  while len(rows) < min(count, len(text_IxE)):
    rows.append(int(nearest_I.argmin()))
    nearest_I = np.maximum(nearest_I, text_IxE @ text_IxE[rows[-1]])
  return np.array(rows)


def _other_words(clap: Clap, phrases: Iterable[str]) -> list[str]:
  """Words of the tokenizer that no phrase has, important ones first."""
  vocabulary = clap.tokenizer.get_vocab()
  used = set(re.findall(r"[a-z]+", " ".join(phrases).lower()))
  words = sorted(vocabulary, key=vocabulary.__getitem__)
  return [w for w in words if re.fullmatch("[a-z]{3,}", w) and w not in used]


def embed(clap: Clap, texts: Sequence[str]) -> np.ndarray:
  """Embeddings [I, E] of texts, in batches of one size."""
  parts = []
  for start in range(0, len(texts), _BATCH):
    batch = list(texts[start : start + _BATCH])
    filled = batch + batch[-1:] * (_BATCH - len(batch))
    parts.append(np.asarray(clap.encode_text(filled)[2])[: len(batch)])
  return np.concatenate(parts)
