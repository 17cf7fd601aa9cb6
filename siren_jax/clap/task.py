"""The CLAP objective: contrast of clips and captions, distillation of text.

The contrastive loss (Radford et al., 2021; LAION CLAP, 2023) aligns clips with
captions. Distillation from a sentence encoder teaches the text tower general
English, so that words of no recording land near similar words of recordings
(our design). Batches without audio train the text tower only.

The axis W of `teacher_QxW` in saved corpora is called Z here.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from siren_jax.clap.config import ClapConfig
from siren_jax.clap.corpus import Corpus
from siren_jax.clap.model import TRAINING_ONLY, ClapModel, init, normalize
from siren_jax.common.errors import UserError
from siren_jax.common.masks import masked_mean
from siren_jax.common.mesh import with_values
from siren_jax.common.rng import named_key
from siren_jax.training import (
  OptimizerConfig,
  TrainState,
  make_optimizer,
  supervised_step,
)
from siren_jax.training.task import Batch, Metrics

Params = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class ClapLossConfig:
  """Weights of the parts of the loss.

  Attributes:
    contrast: clips against captions.
    sentence: embedding, through a linear head, against the teacher's.
    token: the same from each single token, so that the experts' attention over
      the tokens finds the meaning in any of them.
    relation: cosines between the texts of a batch against the teacher's.
    classes: the class that a text names; if unknown, the teacher's prediction,
      or nothing without a teacher. It separates the names of our classes.
    clip_classes: the class that a clip's caption names, among all classes: with
      many classes, a batch has few negatives. Needs `lock_text`, which keeps
      the text embeddings of a class fixed.
    scale: initial logit scale (inverse temperature).
    lock_text: train the audio tower only, with a frozen text tower (Zhai et al.
      2022): experts trained on its tokens stay valid.
  """

  contrast: float = 1.0
  sentence: float = 1.0
  token: float = 0.3
  relation: float = 5.0
  classes: float = 0.3
  clip_classes: float = 0.0
  scale: float = 10.0
  lock_text: bool = False

  def __post_init__(self) -> None:
    if self.clip_classes and not self.lock_text:
      raise UserError(
        f"loss clip_classes={self.clip_classes}: needs fixed text embeddings;"
        " set loss.lock_text=True, or clip_classes=0"
      )


@dataclasses.dataclass(frozen=True)
class TextClasses:
  """Texts of known class: prompts to classify with, and test phrasings.

  Attributes:
    ids_QxP, mask_QxP: the texts, tokenized.
    prompt_Q: class of a prompt (their mean represents the class), else -1.
    test_Q: class of a held-out phrasing, else -1.
    count: number of classes O.
  """

  ids_QxP: np.ndarray
  mask_QxP: np.ndarray
  prompt_Q: np.ndarray
  test_Q: np.ndarray
  count: int


class ClapTask:
  """Task of the trainer for a CLAP model.

  Args:
    config: shapes.
    loss: weights of the objective.
    optimizer: settings of AdamW.
    ema_decay: of the averaged parameters, 0 for none.
    texts: the corpus, for the teacher's embeddings of the classes.
    classes: texts that `evaluate` classifies with; None: no classes.
    start: initial parameters; missing parts are drawn at random.
  """

  def __init__(
    self,
    config: ClapConfig,
    loss: ClapLossConfig,
    optimizer: OptimizerConfig,
    ema_decay: float,
    texts: Corpus,
    classes: TextClasses | None = None,
    start: Mapping[str, Any] | None = None,
  ):
    self._config = config
    self._loss = loss
    self._width = texts.teacher_QxW.shape[1]
    self._classes = classes
    if classes is not None:
      labelled = texts.label_Q >= 0
      self._centre_Z, self._means_OxZ = _class_means(
        texts.teacher_QxW[labelled].astype(np.float32),
        texts.label_Q[labelled],
        classes.count,
      )
    self._start = start or {}
    self._prompts_OxE = None  # constant with a locked text tower
    if loss.lock_text and classes is not None:
      _, text_QxE = self._class_texts(self._start, classes)
      self._prompts_OxE = _prompt_means(text_QxE, classes)
    self._ema = ema_decay > 0
    self._tx = make_optimizer(
      optimizer, trains=_of_sound if loss.lock_text else None
    )
    self.step = supervised_step(self._objective, self._tx, ema_decay)

  def init(self, key: jax.Array) -> TrainState:
    params = dict(init(named_key(key, "towers"), self._config))
    normal = nn.initializers.lecun_normal()
    width = self._config.embed_dim
    heads = {"log_scale": jnp.log(self._loss.scale)}
    if self._width:
      shape = (width, self._width)
      heads["head"] = normal(named_key(key, "head"), shape)
    if self._classes is not None:
      shape = (self._classes.count, width)
      heads["classes"] = normal(named_key(key, "classes"), shape)
    params = with_values(params, self._start) | {TRAINING_ONLY: heads}
    return TrainState.create(params, self._tx, ema=self._ema)

  def evaluate(self, state: TrainState, batch: Batch) -> Metrics:
    """Losses, and accuracies of text and audio classification.

    token_accuracy and text_accuracy: held-out phrasings classified by the
    nearest class prompt, by the mean of the tokens and in the shared space;
    not with a locked text tower, where they are constant.
    audio_accuracy: clips of a known class, by class prompts.
    """
    params = state.eval_params
    _, metrics = self._objective(params, batch, None)
    if self._classes is not None:
      metrics |= self._classification(params, batch, self._classes)
    return metrics

  def _objective(
    self, params: Params, batch: Batch, key: jax.Array | None
  ) -> tuple[jax.Array, Metrics]:
    parts = {} if self._loss.lock_text else self._words(params, batch)
    if "audio_BxS" in batch:
      parts |= self._sounds(params, batch, key)
    loss = sum(getattr(self._loss, name) * parts[name] for name in parts)
    return loss, parts

  def _sounds(
    self, params: Params, batch: Batch, key: jax.Array | None
  ) -> Metrics:
    """Losses of clips: matching their captions and their classes."""
    audio_BxE = normalize(self._audio(params, batch["audio_BxS"], key))
    ids_BxP, label_B = batch["ids_BxP"], batch["label_B"]
    text_BxE = self._text(params, ids_BxP, batch["text_mask_BxP"])[1]
    scale = jnp.minimum(jnp.exp(params[TRAINING_ONLY]["log_scale"]), 100.0)
    logits_BxB = scale * audio_BxE @ normalize(text_BxE).T
    # Clips of one class, or with equal captions, are not negatives.
    same_BxB = (label_B[:, None] == label_B) & (label_B >= 0)
    same_BxB |= (ids_BxP[:, None] == ids_BxP).all(-1)
    target_BxB = same_BxB / same_BxB.sum(-1, keepdims=True)
    by_clip = optax.softmax_cross_entropy(logits_BxB, target_BxB).mean()
    by_text = optax.softmax_cross_entropy(logits_BxB.T, target_BxB).mean()
    parts = {"contrast": (by_clip + by_text) / 2}
    if self._loss.clip_classes and self._prompts_OxE is not None:
      loss_B = optax.softmax_cross_entropy_with_integer_labels(
        scale * audio_BxE @ self._prompts_OxE.T, jnp.maximum(label_B, 0)
      )
      parts["clip_classes"] = masked_mean(loss_B, label_B >= 0)
    return parts

  def _words(self, params: Params, batch: Batch) -> Metrics:
    """Losses of texts alone: distillation and classification."""
    mask_QxP = batch["extra_mask_QxP"]
    teacher_QxZ = batch["extra_teacher_QxW"].astype(jnp.float32)
    tokens_QxPxC, text_QxE = self._text(
      params, batch["extra_ids_QxP"], mask_QxP
    )
    unit_QxE = normalize(text_QxE)
    parts = {}
    if self._width:
      to_teacher = functools.partial(_to_teacher, params)
      token_QxP = 1 - jnp.einsum(
        "qpz,qz->qp", to_teacher(tokens_QxPxC), teacher_QxZ
      )
      mean_QxC = masked_mean(tokens_QxPxC, mask_QxP[..., None], axis=1)
      sentence_Q = 1 - (to_teacher(mean_QxC) * teacher_QxZ).sum(-1)
      gap_QxQ = unit_QxE @ unit_QxE.T - teacher_QxZ @ teacher_QxZ.T
      parts["sentence"] = sentence_Q.mean()
      parts["token"] = masked_mean(token_QxP, mask_QxP)
      parts["relation"] = jnp.mean(gap_QxQ**2)
    if self._classes is not None:
      label_Q = batch["extra_label_Q"]
      target_QxO = jax.nn.one_hot(label_Q, self._classes.count)
      is_taught_Q = label_Q >= 0
      if self._width:
        guess_QxO = normalize(teacher_QxZ - self._centre_Z) @ self._means_OxZ.T
        guess_QxO = jax.nn.softmax(self._loss.scale * guess_QxO)
        target_QxO = jnp.where(is_taught_Q[:, None], target_QxO, guess_QxO)
        is_taught_Q = jnp.ones_like(is_taught_Q)
      means_OxE = normalize(params[TRAINING_ONLY]["classes"])
      logits_QxO = self._loss.scale * unit_QxE @ means_OxE.T
      loss_Q = optax.softmax_cross_entropy(logits_QxO, target_QxO)
      parts["classes"] = masked_mean(loss_Q, is_taught_Q)
    return parts

  def _classification(
    self, params: Params, batch: Batch, c: TextClasses
  ) -> Metrics:
    metrics, prompts_OxE = {}, self._prompts_OxE
    if prompts_OxE is None:
      mean_QxC, text_QxE = self._class_texts(params, c)
      prompts_OxE = _prompt_means(text_QxE, c)
      has_tests = (c.test_Q >= 0).any()
      rows = {"token": mean_QxC, "text": text_QxE} if has_tests else {}
      for name, x in rows.items():
        centre, means = _class_means(x, c.prompt_Q, c.count)
        guess_Q = (normalize(x - centre) @ means.T).argmax(-1)
        metrics[f"{name}_accuracy"] = _accuracy(guess_Q, jnp.asarray(c.test_Q))
    if "audio_BxS" in batch:
      audio_BxE = self._audio(params, batch["audio_BxS"])
      guess_B = (audio_BxE @ prompts_OxE.T).argmax(-1)
      metrics["audio_accuracy"] = _accuracy(guess_B, batch["label_B"])
    return metrics

  def _class_texts(
    self, params: Params, c: TextClasses
  ) -> tuple[jax.Array, jax.Array]:
    """Mean tokens and embeddings of the texts of all classes."""

    def one(row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
      ids_P, mask_P = row
      tokens_1xPxC, text_1xE = self._text(params, ids_P[None], mask_P[None])
      return masked_mean(tokens_1xPxC[0], mask_P[:, None], axis=0), text_1xE[0]

    # Thousands of texts for 500 classes: in batches, to save memory.
    return jax.lax.map(one, (c.ids_QxP, c.mask_QxP), batch_size=256)

  def _text(self, params: Params, ids: Any, mask: Any) -> Any:
    """Tokens and embeddings of texts."""
    return ClapModel(self._config).apply(
      {"params": params}, ids, mask, method=ClapModel.embed_text
    )

  def _audio(
    self, params: Params, audio_BxS: jax.Array, key: jax.Array | None = None
  ) -> Any:
    """Embeddings of clips; with a key, with dropout."""
    return ClapModel(self._config).apply(
      {"params": params},
      audio_BxS,
      method=ClapModel.embed_audio,
      rngs={} if key is None else {"dropout": key},
    )


def _to_teacher(params: Params, x_C: jax.Array) -> jax.Array:
  """Maps tokens, or their mean, via E to the teacher's space, unit length."""
  project, head_ExZ = params["project_text"], params[TRAINING_ONLY]["head"]
  kernel_CxZ = project["kernel"] @ head_ExZ
  return normalize(x_C @ kernel_CxZ + project["bias"] @ head_ExZ)


def _class_means(
  x_QxZ: Any, label_Q: np.ndarray, count: int
) -> tuple[Any, jax.Array]:
  """Centre of the class means, and the centred means with unit length."""
  member_OxQ = np.arange(count)[:, None] == label_Q
  member_OxQ = member_OxQ / np.maximum(member_OxQ.sum(1, keepdims=True), 1)
  means_OxZ = member_OxQ.astype(np.float32) @ x_QxZ
  centre_Z = means_OxZ.mean(0)
  return centre_Z, normalize(means_OxZ - centre_Z)


def _prompt_means(text_QxE: jax.Array, c: TextClasses) -> jax.Array:
  """Mean of the prompts of each class [O, E], with unit length."""
  member_OxQ = jnp.arange(c.count)[:, None] == c.prompt_Q
  return normalize(member_OxQ @ normalize(text_QxE))


def _accuracy(guess: jax.Array, label: jax.Array) -> jax.Array:
  """Share of correct guesses among labelled rows (-1: no label)."""
  return masked_mean((guess == label).astype(jnp.float32), label >= 0)


def _of_sound(path: tuple[str, ...]) -> bool:
  """Whether a parameter belongs to the audio tower."""
  return path[0] not in ("text", "project_text")
