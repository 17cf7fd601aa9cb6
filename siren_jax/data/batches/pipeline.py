"""Content of batches of a prepared data set (`stream` has their order)."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from siren_jax.common.errors import UserError
from siren_jax.common.shards import WHOLE_BATCH, Shard
from siren_jax.data import augment
from siren_jax.data.batches import stream
from siren_jax.data.sets.reader import Element, Source, open_source
from siren_jax.data.sets.schema import to_float

Batch = dict[str, np.ndarray]
TextFeatures = Callable[[list[str]], Batch]


def audio_batches(
  path: str | os.PathLike,
  split: str,
  batch_size: int,
  *,
  crop_seconds: float,
  sample_rate: int | None = None,
  config: augment.AugmentConfig = augment.UNCHANGED,
  **options: Any,
) -> stream.Batches:
  """Batches {"audio_BxS": float32} of random crops that contain sound.

  Args:
    path: prepared audio set.
    split: "train" or "validation".
    batch_size: rows over all processes.
    crop_seconds: length of a crop; shorter sounds are padded.
    sample_rate: if given, a set of another rate is refused.
    config: how sounds are varied.
    **options: `repeat` (default: only for train; otherwise one pass), `seed`,
      `shard` of each batch (default: all of it), `reading`.

  Raises:
    UserError: no such set or split, or a batch that cannot be divided.
  """
  source = open_source(path, split)
  draw = _sound(source, crop_seconds, sample_rate, config)
  return _batches(
    source,
    lambda element, rng: {"audio_BxS": draw(element, rng)[0]},
    split,
    batch_size,
    **options,
  )


def clap_batches(
  path: str | os.PathLike,
  split: str,
  batch_size: int,
  *,
  seconds: float,
  text_features: TextFeatures,
  sample_rate: int | None = None,
  config: augment.AugmentConfig = augment.UNCHANGED,
  **options: Any,
) -> stream.Batches:
  """Batches {"audio_BxS"} of whole windows, each with one of its captions.

  Args: as audio_batches, and
    seconds: length of the windows.
    text_features: captions to arrays, such as {"ids_BxP", "text_mask_BxP"};
      its arrays join the batch under their names.
  """
  source = open_source(path, split)
  draw = _sound(source, seconds, sample_rate, config)

  def transform(element: Element, rng: np.random.Generator) -> Element:
    audio_S, caption = draw(element, rng)
    return {"audio_BxS": audio_S, "caption": caption}

  def with_text(batch: dict[str, Any]) -> Batch:
    captions = [str(c) for c in batch.pop("caption")]
    return batch | text_features(captions)

  return _batches(
    source, transform, split, batch_size, finish=with_text, **options
  )


def code_batches(
  path: str | os.PathLike,
  split: str,
  batch_size: int,
  *,
  codebooks: tuple[int, int] | None = None,
  **options: Any,
) -> stream.Batches:
  """Batches of a code set: one view and one caption of each record.

  Validation takes the first view, the sound as it is.

  {"codes_BxNxT" int32, "frame_mask_BxT" bool, "prompt_BxPxC" float32,
  "prompt_mask_BxP" bool}. Other arguments as for audio_batches, and
    codebooks: if given, codes with another number of codebooks, or larger ones,
      are refused; prompts that are not finite always are.
  """

  def transform(element: Element, rng: np.random.Generator) -> Element:
    view = rng.integers(len(element["codes"])) if split == "train" else 0
    caption = rng.integers(len(element["prompt"]))
    codes_NxT = element["codes"][view]
    _check_codes(path, element, codebooks)
    frames = np.arange(codes_NxT.shape[-1])
    return {
      "codes_BxNxT": codes_NxT.astype(np.int32),
      "frame_mask_BxT": frames < element["num_frames"][view],
      "prompt_BxPxC": element["prompt"][caption].astype(np.float32),
      "prompt_mask_BxP": element["prompt_mask"][caption],
    }

  source = open_source(path, split)
  return _batches(source, transform, split, batch_size, **options)


def _check_codes(
  path: str | os.PathLike, element: Element, codebooks: tuple[int, int] | None
) -> None:
  where = f"{path}: record {element['id']!r}"
  remedy = "make the set again with siren-jax prepare-data"
  codes_BxNxT = element["codes"]  # B: its views
  count, highest = codes_BxNxT.shape[1], int(codes_BxNxT.max(initial=0))
  if codebooks and (count != codebooks[0] or highest >= codebooks[1]):
    raise UserError(
      f"{where} has {count} codebooks with codes up to {highest}, but the codec"
      f" has {codebooks[0]} codebooks of {codebooks[1]} codes; {remedy}"
    )
  if not np.isfinite(element["prompt"]).all():
    raise UserError(f"{where} has a prompt that is not finite; {remedy}")


def _batches(
  source: Source,
  transform: stream.Transform,
  split: str,
  batch_size: int,
  *,
  finish: Callable[[Any], Batch] | None = None,
  repeat: bool | None = None,
  seed: int = 0,
  shard: Shard = WHOLE_BATCH,
  reading: stream.ReadConfig = stream.ReadConfig(),
) -> stream.Batches:
  shard.rows(batch_size)  # Raises if the batch cannot be divided.
  order = stream.Order(
    seed=seed,
    batch_size=batch_size,
    repeat=split == "train" if repeat is None else repeat,
    shard=shard,
  )
  finish = finish or (lambda batch: batch)
  return stream.Batches(source, transform, finish, order, reading)


def _sound(
  source: Source,
  seconds: float,
  sample_rate: int | None,
  config: augment.AugmentConfig,
) -> Callable[[Element, np.random.Generator], tuple[np.ndarray, str]]:
  """Draws a varied, possibly mixed window of an element, and its caption."""
  if seconds <= 0:
    raise UserError(f"{seconds} seconds: a window must be longer than 0")
  rate = rate_of(source, sample_rate)
  size = round(seconds * rate)

  def one(element: Element, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    audio_S = to_float(element["audio"])
    audio_S = augment.vary(audio_S, size, rate, config, rng)
    return audio_S, str(rng.choice(element["captions"]))

  def draw(
    element: Element, rng: np.random.Generator
  ) -> tuple[np.ndarray, str]:
    audio_S, caption = one(element, rng)
    if rng.random() < config.mix:
      other_S, other = one(source[int(rng.integers(len(source)))], rng)
      level = augment.uniform(config.mix_db, rng)
      audio_S = augment.mix(audio_S, other_S, level)
      caption = f"{caption.rstrip('.')} and {other}"
    return audio_S, caption

  return draw


def rate_of(source: Source, needed: int | None = None) -> int:
  """The sample rate of an audio set.

  Raises:
    UserError: it is not the one that is needed.
  """
  rate = int(source[0]["sample_rate"])
  if needed not in (None, rate):
    raise UserError(
      f"audio set at {rate} Hz, {needed} Hz needed; prepare the audio again at"
      f" {needed} Hz"
    )
  return rate
