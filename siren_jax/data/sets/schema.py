"""What the records of an audio set and of a code set hold."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from siren_jax.common import extras
from siren_jax.common.errors import UserError

if TYPE_CHECKING:
  import tensorflow_datasets as tfds

INT16_SCALE = 32767


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
  """One captioned sound of a prepared audio set, checked when it is made.

  Attributes:
    id: unique within its data set.
    audio_S: mono int16 samples, at least one, not all zero.
    sample_rate: samples a second.
    captions: what the sound is, in words; at least one, none blank.
    label: its class, or "" where it has none.
    source: where it comes from (a path, or how it was made).
    title: what the recordist called it.
    author: who made it, and `license`: under which it may be used; of a sound
      made of several, all of them in its order.

  Raises:
    UserError: a field that breaks these rules.
  """

  id: str
  audio_S: np.ndarray
  sample_rate: int
  captions: tuple[str, ...]
  label: str = ""
  source: str = ""
  title: str = ""
  author: str = ""
  license: str = ""

  def __post_init__(self) -> None:
    if not self.id:
      raise UserError("record without an id; give each record a unique name")
    audio_S = self.audio_S
    if audio_S.dtype != np.int16 or audio_S.ndim != 1:
      raise UserError(
        f"record {self.id!r}: audio is {audio_S.dtype} of {audio_S.ndim} axes;"
        " expected int16 of one axis"
      )
    if not audio_S.any():
      raise UserError(
        f"record {self.id!r}: {audio_S.size} samples, all of them zero;"
        " leave silent recordings out"
      )
    if self.sample_rate <= 0:
      raise UserError(
        f"record {self.id!r}: sample rate {self.sample_rate}; must be positive"
      )
    if not self.captions or not all(c.strip() for c in self.captions):
      raise UserError(
        f"record {self.id!r}: captions {self.captions!r}; give at least one"
        " caption, and none that is blank"
      )

  @property
  def seconds(self) -> float:
    return self.audio_S.size / self.sample_rate


def to_example(record: Record) -> dict[str, Any]:
  """The record as a TFDS example of `audio_features`."""
  return {
    "id": record.id,
    "audio": record.audio_S,
    "sample_rate": record.sample_rate,
    "captions": list(record.captions),
    "label": record.label,
    "source": record.source,
    "title": record.title,
    "author": record.author,
    "license": record.license,
  }


def audio_features() -> "tfds.features.FeaturesDict":
  """Features of an audio set: the fields of `Record`."""
  tfds = extras.load("tensorflow_datasets")
  return tfds.features.FeaturesDict(
    {
      "id": tfds.features.Text(),
      "audio": _tensor((None,), np.int16),
      "sample_rate": tfds.features.Scalar(np.int32),
      "captions": tfds.features.Sequence(tfds.features.Text()),
      "label": tfds.features.Text(),
      "source": tfds.features.Text(),
      "title": tfds.features.Text(),
      "author": tfds.features.Text(),
      "license": tfds.features.Text(),
    }
  )


def code_features(
  views: int, codebooks: int, frames: int, tokens: int, width: int
) -> "tfds.features.FeaturesDict":
  """Features of a code set: codes [views, N, T], prompts [captions, P, C]."""
  tfds = extras.load("tensorflow_datasets")
  return tfds.features.FeaturesDict(
    {
      "id": tfds.features.Text(),
      "codes": _tensor((views, codebooks, frames), np.uint16),
      "num_frames": _tensor((views,), np.int32),
      "captions": tfds.features.Sequence(tfds.features.Text()),
      "prompt": _tensor((None, tokens, width), np.float16),
      "prompt_mask": _tensor((None, tokens), np.bool_),
      "label": tfds.features.Text(),
    }
  )


def _tensor(
  shape: tuple[int | None, ...], dtype: type[np.generic]
) -> "tfds.features.Tensor":
  """Stored as bytes: as numbers of a protocol buffer it reads 10x slower."""
  tfds = extras.load("tensorflow_datasets")
  return tfds.features.Tensor(
    shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES
  )


def seconds_of(element: Mapping[str, Any]) -> float:
  """Length of a record's sound; 0 where it holds codes."""
  if "audio" not in element:
    return 0.0
  return len(element["audio"]) / element["sample_rate"]


def to_int16(audio_S: np.ndarray) -> np.ndarray:
  """Floats in [-1, 1] (clipped to it) as 16-bit PCM."""
  scaled = np.clip(audio_S, -1.0, 1.0) * INT16_SCALE
  return np.round(scaled).astype(np.int16)


def to_float(audio_S: np.ndarray) -> np.ndarray:
  """16-bit PCM as float32 in [-1, 1]; inverts to_int16 to half a step."""
  return audio_S.astype(np.float32) / INT16_SCALE
