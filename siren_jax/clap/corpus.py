"""Text for the text tower: captions, sentences about sounds, general English.

It needs no audio. Captions teach the names of our recordings; the rest,
embedded by the teacher, teaches the positions of other words (our design).

Axis I: texts of one word.
"""

import collections
import dataclasses
import importlib.resources
import itertools
import json
import logging
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from siren_jax.clap import tokenizer
from siren_jax.clap.teacher import Teacher
from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.common.files import read_npz, replacing
from siren_jax.common.text import lines, read_text
from siren_jax.storage import folders, tensors
from siren_jax.storage.fingerprint import of_files, of_values

TOKENIZER, CORPUS = "tokenizer.json", "corpus.npz"
_KEY = "made_from"  # in the npz: fingerprint of that

_log = logging.getLogger(__name__)

_SOUND = (
  "{q} {n}", "{n} {v}ing", "a {n} {v}ing", "the {n} {v}s", "{v}ing {n}",
  "a {q} {n} {v}ing", "{n} {v}ing in the {p}", "the sound of a {n} {v}ing",
  "{n} {v}ing and {v2}ing", "{n} and {n2}", "a {n} {v}s while a {n2} {v2}s",
  "{q} {v}ing of a {n}", "{n} {v}ed near the {p}", "{q} {q2} {n}", "{n} {p}",
  "someone {v}ing a {n}", "{n} with a {n2}", "{v}ing", "{n} {w}", "{w} {v}ing",
)  # fmt: skip
_GENERAL = (
  "the sound of a {w}", "{w} {w2}", "{w} {w2} {w3}", "a {w} and a {w2}",
  "a {w} in the {p}", "a {q} {w}", "the {w} of the {w2}", "a {n} and {w}",
)  # fmt: skip

# Type and rank of each array of a corpus.
_ARRAYS = {
  "ids_QxP": (np.integer, 2),
  "mask_QxP": (np.bool_, 2),
  "teacher_QxW": (np.floating, 2),
  "label_Q": (np.integer, 1),
}


@dataclasses.dataclass(frozen=True)
class Corpus:
  """Texts as ids, with the teacher's embeddings and class labels.

  Attributes:
    ids_QxP, mask_QxP: see `tokenizer.tokenize`.
    teacher_QxW: the teacher's embeddings, of unit length, float16. Saved
      corpora use this name; elsewhere the axis W, their width, is called Z.
    label_Q: class that a text names, int32; -1 if it names none.
  """

  ids_QxP: np.ndarray
  mask_QxP: np.ndarray
  teacher_QxW: np.ndarray
  label_Q: np.ndarray

  def save(self, path: Path, key: str = "") -> None:
    """Writes one npz atomically; `key`: fingerprint of its inputs."""
    with replacing(path) as file:
      arrays: dict[str, Any] = dataclasses.asdict(self)
      np.savez(file, **arrays | {_KEY: key})

  @classmethod
  def load(cls, path: Path) -> "Corpus":
    """Reads what `save` wrote.

    Raises:
      UserError: it is broken, or its arrays are inconsistent.
    """
    remedy = "remove it and run again"
    arrays = read_npz(path, remedy)
    try:
      corpus = cls(**{f.name: arrays[f.name] for f in dataclasses.fields(cls)})
    except KeyError as error:
      raise UserError(f"{path} lacks {error}; {remedy}") from error
    for name, (kind, ndim) in _ARRAYS.items():
      array = getattr(corpus, name)
      if not np.issubdtype(array.dtype, kind) or array.ndim != ndim:
        raise UserError(
          f"{path}: not a valid corpus ({name} is {array.dtype} of shape"
          f" {list(array.shape)}); {remedy}"
        )
      if len(array) != len(corpus.ids_QxP):
        raise UserError(
          f"{path}: {name} has {len(array)} rows, ids_QxP"
          f" {len(corpus.ids_QxP)}; {remedy}"
        )
      tensors.check_finite(path, {name: array})
    return corpus

  def relabelled(
    self, words_tokenizer: Tokenizer, captions: Mapping[str, int]
  ) -> "Corpus":
    """With the classes that `captions` name, -1 for all other texts.

    Captions that are the same after truncation name a class if they agree.
    """
    ids_QxP, _ = tokenizer.tokenize(
      words_tokenizer, list(captions), self.ids_QxP.shape[1], log_cuts=False
    )
    label_of: dict[bytes, int] = {}
    for ids_P, label in zip(
      ids_QxP.astype(self.ids_QxP.dtype), captions.values(), strict=True
    ):
      key = ids_P.tobytes()
      label_of[key] = label if label_of.get(key, label) == label else -1
    labels = [label_of.get(ids_P.tobytes(), -1) for ids_P in self.ids_QxP]
    return dataclasses.replace(self, label_Q=np.array(labels, np.int32))

  def word_table(self, vocab_size: int, width: int) -> np.ndarray:
    """Initial values of the word table, `[vocab_size, width]` float32.

    Words of a single token start at the principal components of their teacher
    embeddings, so that unseen words have a meaning from the first step; all
    other tokens start at random.
    """
    table = np.random.default_rng(0).normal(0, 0.02, (vocab_size, width))
    rows = np.flatnonzero(self.mask_QxP.sum(1) == 2)  # [cls] and the word
    x_IxZ = self.teacher_QxW[rows].astype(np.float32)
    if not x_IxZ.size:
      return table.astype(np.float32)
    x_IxZ = x_IxZ - x_IxZ.mean(0)
    axes_ZxD = np.linalg.eigh(x_IxZ.T @ x_IxZ)[1][:, ::-1][:, :width]
    values = x_IxZ @ axes_ZxD
    table[self.ids_QxP[rows, 1], : values.shape[1]] = (
      values * 0.02 / values.std()
    )
    return table.astype(np.float32)


def prepare(
  workdir: Path,
  start: str,
  make: Callable[[Tokenizer | None], tuple[Tokenizer, Corpus]],
  made_from: Mapping[str, Any] | None = None,
) -> tuple[Tokenizer, Corpus]:
  """Tokenizer and corpus of `workdir`, copied from `start` or made if missing.

  A bundle to start from (a folder or a name) has a tokenizer but no corpus: one
  is made for it. A corpus made from other inputs is made again, unless a
  checkpoint was trained with it. The texts of a copied one get the classes of
  this run.

  Args:
    made_from: all arguments of `make`, JSON ready. None: existing files are
      accepted, and copied ones keep their classes.

  Raises:
    UserError: one of the files is missing or broken.
  """
  folder = folders.find(start) if start else None
  has_corpus = folder is not None and (folder / CORPUS).is_file()
  files = [folder / name for name in (CORPUS, TOKENIZER)] if folder else []
  captions = made_from["captions"] if made_from else None
  key = of_values(
    [
      of_files(path for path in files if path.is_file()),
      captions if has_corpus else made_from,
    ]
  )
  kept = (workdir / CORPUS).is_file()
  if not kept or (made_from is not None and _is_stale(workdir, key)):
    if folder is not None and has_corpus:
      words, corpus = _read(folder)
      if captions is not None:
        corpus = corpus.relabelled(words, captions)
    else:
      words, corpus = make(
        tokenizer.load(folder / TOKENIZER) if folder else None
      )
    # Never the tokenizer of one with the corpus of another.
    (workdir / CORPUS).unlink(missing_ok=True)
    with replacing(workdir / TOKENIZER) as file:
      file.write(words.to_str(pretty=True).encode())
    corpus.save(workdir / CORPUS, key)  # last: it marks both as complete
  return _read(workdir)


def _is_stale(workdir: Path, key: str) -> bool:
  """Whether the corpus was made from other inputs and must be replaced."""
  path = workdir / CORPUS
  made_from = read_npz(path, "remove it and run again").get(_KEY)
  trained = bool(folders.steps(workdir))
  if str(made_from) == key or (made_from is None and trained):
    return False  # Before 2026-11-26 there were no keys.
  _log.warning(
    "%s was made from different captions or settings; %s", path,
    "keeping it, because the checkpoints were trained with it"
    if trained else "rebuilding it",
  )  # fmt: skip
  return not trained


def _read(folder: Path) -> tuple[Tokenizer, Corpus]:
  return tokenizer.load(folder / TOKENIZER), Corpus.load(folder / CORPUS)


def make(
  words_tokenizer: Tokenizer | None,
  captions: Mapping[str, int],
  held_out: Sequence[str],
  vocab_size: int,
  num_sentences: int,
  max_tokens: int,
  with_teacher: bool,
  wordnet_folder: str,
  seed: int,
) -> tuple[Tokenizer, Corpus]:
  """Trains the tokenizer and writes the corpus, in random order.

  Args:
    words_tokenizer: a trained one, or None.
    captions: texts that are always included, with the class each names (-1:
      none).
    held_out: lower-case texts to leave out.
    vocab_size: of the tokenizer.
    num_sentences: number of generated sentences.
    max_tokens: longer texts are truncated.
    with_teacher: embed the texts; otherwise `teacher_QxW` has no columns.
    wordnet_folder: WordNet 3 database, or "".
    seed: of the sentences and their order.

  Raises:
    UserError: the teacher is not installed.
  """
  teacher = Teacher() if with_teacher else None
  english = wordnet(wordnet_folder) if wordnet_folder else []
  general = general_words(english, teacher.words() if teacher else ())
  words = vocabulary(captions, general)[:vocab_size]
  label_of = {text.lower(): label for text, label in captions.items()}
  rng = random.Random(seed)
  written = itertools.islice(sentences(general, seed), num_sentences)
  english = [text for text in english if 2 < len(text.split()) <= 12]
  english = rng.sample(english, min(num_sentences, len(english)))
  texts = sorted({*label_of, *words, *written, *english} - set(held_out))
  rng.shuffle(texts)
  if words_tokenizer is None:
    words_tokenizer = tokenizer.train(texts, vocab_size, words)
  ids_QxP, mask_QxP = tokenizer.tokenize(
    words_tokenizer, texts, max_tokens, log_cuts=False
  )
  teacher_QxW = teacher(texts) if teacher else np.zeros((len(texts), 0))
  corpus = Corpus(
    ids_QxP,
    mask_QxP,
    teacher_QxW.astype(np.float16),
    np.array([label_of.get(text, -1) for text in texts], np.int32),
  )
  return words_tokenizer, corpus


def sound_words() -> dict[str, list[list[str]]]:
  """Words about sound by kind: sources, actions, qualities, places."""
  file = importlib.resources.files("siren_jax.clap") / "sound_words.json"
  groups = json.loads(file.read_text("utf-8"))
  return {kind: [line.split() for line in g] for kind, g in groups.items()}


def inflect(verb: str, ending: str) -> str:
  """A regular English form of `verb`; `ending` is "s", "ed" or "ing"."""
  if ending == "s":
    if re.search(r"(s|x|z|ch|sh)$", verb):
      return verb + "es"
    return re.sub(r"(?<=[^aeiou])y$", "ie", verb) + "s"
  if verb.endswith("e") and not verb.endswith("ee"):
    return verb[:-1] + ending
  if ending == "ed":
    verb = re.sub(r"(?<=[^aeiou])y$", "i", verb)
  if re.fullmatch(r"[^aeiou]+[aeiou][bdgklmnprtvz]", verb):
    verb += "" if re.search(r"ck$", verb) else verb[-1]
  return verb + ending


def vocabulary(captions: Iterable[str], general: Sequence[str]) -> list[str]:
  """Whole words by importance: of captions, about sound, general English."""
  sound = sound_words()
  flat = [w for group in sound.values() for line in group for w in line]
  verbs = [w for line in sound["actions"] for w in line]
  forms = [inflect(v, e) for v in verbs for e in ("ing", "s", "ed")]
  plurals = [inflect(n, "s") for line in sound["sources"] for n in line]
  caption = re.findall(r"[a-z]+", " ".join(captions).lower())
  return list(dict.fromkeys([*caption, *flat, *forms, *plurals, *general]))


def sentences(general: Sequence[str], seed: int) -> Iterator[str]:
  """Endless short texts; half are about sounds, half contain general words."""
  rng = random.Random(seed)
  sound = sound_words()
  sources, actions = sound["sources"], sound["actions"]
  (qualities,), (places,) = sound["qualities"], sound["places"]
  draw = {
    "n": lambda: rng.choice(rng.choice(sources)),
    "v": lambda: rng.choice(rng.choice(actions)),
    "q": lambda: rng.choice(qualities),
    "p": lambda: rng.choice(places),
    "w": lambda: rng.choice(general),
  }
  general = general or qualities
  while True:
    form = rng.choice(_SOUND if rng.random() < 0.5 else _GENERAL)
    yield _fill(form, draw)


def _fill(form: str, draw: dict[str, Callable[[], str]]) -> str:
  def word(match: re.Match) -> str:
    kind, ending = match.groups()
    return inflect(draw[kind](), ending) if ending else draw[kind]()

  return re.sub(r"\{(\w)\d?\}(ing|ed|s\b)?", word, form)


def wordnet(folder: str | Path) -> list[str]:
  """Definitions (after their word) and example sentences of WordNet 3.

  Raises:
    UserError: no database there.
  """
  texts = []
  for path in sorted(paths.local(folder).glob("data.*")):
    for line in lines(read_text(path).lower()):
      fields, bar, gloss = line.partition(" | ")
      if line.startswith("  ") or not bar:  # the licence header
        continue
      name = fields.split()[4].replace("_", " ")
      meaning = re.sub(r'[;:]?\s*"[^"]*"', "", gloss).strip(" ;")
      texts += [f"{name}: {meaning}", *re.findall(r'"([^"]+)"', gloss)]
  if not texts:
    raise UserError(
      f"no WordNet database (data.noun ...) in {folder}; Debian's package"
      " wordnet-base has one in /usr/share/wordnet"
    )
  return texts


def general_words(
  english: Sequence[str], teacher_words: Sequence[str]
) -> list[str]:
  """Words by frequency in `english`, or else in the teacher's order.

  A word of the teacher's vocabulary counts as two occurrences: this ranks its
  names and rare forms below common words that it lacks.
  """
  counts = collections.Counter(dict.fromkeys(teacher_words, 2))
  for text in english:
    counts.update(re.findall(r"[a-z]{2,}", text))
  return [word for word, count in counts.most_common() if count > 1]
