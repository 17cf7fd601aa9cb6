"""The CLAP objective: sounds to their captions, words to their meaning.

Contrast (Radford et al., 2021; LAION CLAP, 2023) ties clips to captions.
Distillation from a sentence encoder ties the text tower to English at large,
so that a word never heard with a sound lands near the words that were (our
design). Batches may lack audio: then only words are learned.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from siren_jax.clap.config import ClapConfig
from siren_jax.clap.functional import TRAINING_ONLY, ClapModel, init, normalize
from siren_jax.common.masks import masked_mean
from siren_jax.common.rng import named_key
from siren_jax.training import (
  OptimizerConfig,
  TrainState,
  make_optimizer,
  supervised_step,
)

Batch = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class ClapLossConfig:
  """Weights of the parts of the loss.

  Attributes:
    contrast: clips against captions.
    sentence: embedding, through a linear head, against the teacher's.
    token: the same from each single token: attention over the tokens, which
      is what the experts do, then finds the meaning wherever it looks.
    relation: cosines of the texts of a batch against the teacher's.
    scale: starting value of the logit scale (inverse temperature).
  """

  contrast: float = 1.0
  sentence: float = 1.0
  token: float = 0.3
  relation: float = 5.0
  scale: float = 10.0


@dataclasses.dataclass(frozen=True)
class TextClasses:
  """Texts of known class, to classify by: prompts, and phrasings to test.

  Attributes:
    ids_RxP, mask_RxP: all texts, tokenized.
    class_R: which class each text belongs to.
    prompt_R: true for prompts, whose mean embedding stands for the class;
      false for phrasings kept from training.
  """

  ids_RxP: np.ndarray
  mask_RxP: np.ndarray
  class_R: np.ndarray
  prompt_R: np.ndarray


class ClapTask:
  """Task of the trainer for a CLAP model.

  Args:
    config: shapes.
    loss: weights of the objective.
    optimizer: settings of AdamW.
    ema_decay: of the averaged parameters, 0 for none.
    teacher_width: of `extra_teacher_QxW`.
    classes: what `evaluate` classifies by; None leaves that out.
    start: parameters to start from; missing parts are drawn at random.
  """

  def __init__(
    self,
    config: ClapConfig,
    loss: ClapLossConfig,
    optimizer: OptimizerConfig,
    ema_decay: float,
    teacher_width: int,
    classes: TextClasses | None = None,
    start: Mapping[str, Any] | None = None,
  ):
    self._config = config
    self._loss = loss
    self._teacher_width = teacher_width
    self._classes = classes
    self._start = start or {}
    self._ema = ema_decay > 0
    self._tx = make_optimizer(optimizer)
    self.step = supervised_step(self._objective, self._tx, ema_decay)

  def init(self, key: jax.Array) -> TrainState:
    params = init(named_key(key, "towers"), self._config)
    head = nn.initializers.lecun_normal()(
      named_key(key, "head"), (self._config.embed_dim, self._teacher_width)
    )
    params[TRAINING_ONLY] = {
      "head": head,
      "log_scale": jnp.log(self._loss.scale),
    }
    params = _replace(params, self._start)
    return TrainState.create(params, self._tx, ema=self._ema)

  def evaluate(self, state: TrainState, batch: Batch) -> dict[str, jax.Array]:
    """Losses, and how often words and clips find their class.

    text_tokens_accuracy and text_accuracy: phrasings never trained on, by
    the nearest class prompt, in the mean of the tokens and in the shared
    space. audio_accuracy: clips of a known class, by class prompts.
    """
    params = state.eval_params
    _, metrics = self._objective(params, batch, None)
    if self._classes is not None:
      metrics |= self._classification(params, batch)
    return metrics

  def _objective(self, params, batch, key):
    del key
    loss, metrics = 0.0, {}
    if "extra_ids_QxP" in batch:
      parts = self._distillation(params, batch)
      loss += sum(getattr(self._loss, k) * v for k, v in parts.items())
      metrics |= parts
    if "audio_BxS" in batch:
      metrics["contrast"] = self._contrast(params, batch)
      loss += self._loss.contrast * metrics["contrast"]
    return loss, metrics

  def _contrast(self, params, batch):
    audio_BxE = self._audio(params, batch["audio_BxS"])
    ids_BxP, mask_BxP = batch["ids_BxP"], batch["text_mask_BxP"]
    _, text_BxE = self._text(params, ids_BxP, mask_BxP)
    scale = jnp.exp(params[TRAINING_ONLY]["log_scale"])
    logits = jnp.minimum(scale, 100.0) * normalize(audio_BxE) @ normalize(text_BxE).T
    # Two dogs are no negatives of each other, nor are two equal captions.
    label_B = batch["label_B"]
    same = (label_B[:, None] == label_B) & (label_B >= 0)
    same |= (ids_BxP[:, None] == ids_BxP).all(-1)
    target = same / same.sum(-1, keepdims=True)
    by_clip = -(target * jax.nn.log_softmax(logits)).sum(-1).mean()
    by_text = -(target * jax.nn.log_softmax(logits.T)).sum(-1).mean()
    return (by_clip + by_text) / 2

  def _distillation(self, params, batch):
    mask_QxP = batch["extra_mask_QxP"]
    tokens_QxPxC, text_QxE = self._text(
      params, batch["extra_ids_QxP"], mask_QxP
    )
    teacher_QxW = batch["extra_teacher_QxW"].astype(jnp.float32)
    head_ExW = params[TRAINING_ONLY]["head"]
    project = params["project_text"]
    # The affine map to E, then the head, of single tokens as of their mean.
    to_teacher_CxW = project["kernel"] @ head_ExW
    token_QxPxW = normalize(
      tokens_QxPxC @ to_teacher_CxW + project["bias"] @ head_ExW
    )
    token_QxP = 1 - jnp.einsum("qpw,qw->qp", token_QxPxW, teacher_QxW)
    sentence_Q = 1 - (normalize(text_QxE @ head_ExW) * teacher_QxW).sum(-1)
    unit_QxE = normalize(text_QxE)
    gap_QxQ = unit_QxE @ unit_QxE.T - teacher_QxW @ teacher_QxW.T
    return {
      "sentence": sentence_Q.mean(),
      "token": masked_mean(token_QxP, mask_QxP),
      "relation": jnp.mean(gap_QxQ**2),
    }

  def _classification(self, params, batch):
    c = self._classes
    tokens_RxPxC, text_RxE = self._text(params, c.ids_RxP, c.mask_RxP)
    mean_RxC = masked_mean(tokens_RxPxC, c.mask_RxP[..., None], axis=1)
    test_R = ~c.prompt_R
    prototypes_KxE, metrics = None, {}
    for name, space in (("text_tokens", mean_RxC), ("text", text_RxE)):
      prototypes_KxE, centre_E = _prototypes(space, c)
      scores = normalize(space - centre_E) @ prototypes_KxE.T
      right_R = scores.argmax(-1) == c.class_R
      metrics[f"{name}_accuracy"] = masked_mean(right_R.astype(float), test_R)
    if "audio_BxS" in batch:
      audio_BxE = self._audio(params, batch["audio_BxS"])
      prompts_KxE = _prototypes(normalize(text_RxE), c, centred=False)[0]
      found_B = (normalize(audio_BxE) @ prompts_KxE.T).argmax(-1)
      right_B = (found_B == batch["label_B"]).astype(float)
      metrics["audio_accuracy"] = masked_mean(right_B, batch["label_B"] >= 0)
    return metrics

  def _text(self, params, ids, mask):
    return ClapModel(self._config).apply(
      {"params": params}, ids, mask, method=ClapModel.embed_text
    )

  def _audio(self, params, audio_BxS):
    return ClapModel(self._config).apply(
      {"params": params}, audio_BxS, method=ClapModel.embed_audio
    )


def _prototypes(x_RxE, classes, centred=True):
  """Unit class means of the prompts, about their centre, and the centre."""
  count = int(classes.class_R.max()) + 1
  member_KxR = (np.arange(count)[:, None] == classes.class_R) & classes.prompt_R
  means_KxE = (member_KxR / member_KxR.sum(1, keepdims=True)) @ x_RxE
  centre_E = means_KxE.mean(0) * centred
  return normalize(means_KxE - centre_E), centre_E


def _replace(tree, new):
  """`tree` with the leaves that `new` has, boxes kept."""
  if not isinstance(new, Mapping):
    return nn.meta.replace_boxed(tree, jnp.asarray(new))
  return {k: _replace(v, new[k]) if k in new else v for k, v in tree.items()}
