"""An audio set to the code set that Stage 1 trains on."""

import dataclasses
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
from tqdm.auto import tqdm

from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.common.rng import check_seed
from siren_jax.data.augment import AugmentConfig, vary
from siren_jax.data.sets import schema, writer
from siren_jax.data.sets.index import SplitIndex
from siren_jax.data.sets.reader import Element, Source, open_source, splits

if TYPE_CHECKING:
  import tensorflow_datasets as tfds

TEXT_BATCH = 8
MAX_PROMPTS_KEPT = 20_000
VIEWS = AugmentConfig(gain_db=(-4.0, 2.0), shift_seconds=0.5)


@dataclasses.dataclass(frozen=True)
class CodesConfig:
  """What prepare_codes makes.

  Attributes:
    seconds: length of every view; shorter sounds are filled up.
    views: of each record; the first is the sound as it is.
    batch_records: records whose views are encoded at once.
    batch_captions: captions that are encoded at once.
    augment: how the other views vary. `fit` "silence" teaches the model that
      silence follows a short sound, "loop" that it continues.
    seed: fixes the views.
  """

  seconds: float = 5.0
  views: int = 4
  batch_records: int = 2
  batch_captions: int = TEXT_BATCH
  augment: AugmentConfig = VIEWS
  seed: int = 0

  def __post_init__(self) -> None:
    if not 0 < self.seconds < math.inf:
      raise UserError(f"seconds={self.seconds}: must be above 0")
    check_seed(self.seed)
    for name in ("views", "batch_records", "batch_captions"):
      value = getattr(self, name)
      if value < 1:
        raise UserError(f"{name}={value}: must be 1 or more")


class Codec(Protocol):
  @property
  def config(self) -> Any:
    """Has `sample_rate`."""
    ...

  def encode(self, audio_BxS: np.ndarray) -> Any:
    """Codes [B, N, T]."""
    ...


class TextEncoder(Protocol):
  def encode_text(self, texts: list[str]) -> tuple[Any, ...]:
    """Tokens [B, P, C], mask [B, P] and embeddings [B, E]."""
    ...


def prepare_codes(
  audio_set: str | os.PathLike,
  codec: Codec,
  text_encoder: TextEncoder,
  out: str | os.PathLike,
  config: CodesConfig = CodesConfig(),
  *,
  overwrite: bool = False,
  finish: Callable[[Path], None] | None = None,
) -> dict[str, int]:
  """Writes a code set (see `schema.code_features`) to folder `out`.

  The encoders always see batches of one size, so each compiles once.

  Args:
    audio_set: what prepare_audio wrote.
    codec: turns sound into codes.
    text_encoder: turns captions into prompts.
    out: a new folder.
    config: what to make.
    overwrite: `out` may be a data set; it is replaced when the new one is
      complete.
    finish: writes other files of the folder.

  Returns:
    Number of records in each split.

  Raises:
    UserError: the codec's rate is not the set's, or `out` is there already,
      in use or not writable.
  """
  if paths.local(out).resolve() == paths.local(audio_set).resolve():
    raise UserError(
      f"{out}: is the audio set itself, which its codes would replace; choose"
      " another folder"
    )
  maker = _RecordMaker(codec, text_encoder, config)
  with writer.claim(out, overwrite):
    sources = {
      split: open_source(audio_set, split, cached=False)
      for split in splits(audio_set)
    }
    indices = _write(out, sources, maker, finish)
  return {split: index.records for split, index in indices.items()}


def _write(
  out: str | os.PathLike,
  sources: Mapping[str, Source],
  maker: "_RecordMaker",
  finish: Callable[[Path], None] | None,
) -> dict[str, SplitIndex]:
  features = maker.features(next(iter(sources.values())))
  total = sum(map(len, sources.values()))
  with tqdm(total=total, desc="encoding", unit=" sounds") as progress:

    def examples(source: Source) -> writer.Examples:
      for record in maker.records(source):
        progress.update()
        yield record["id"], record

    return writer.write(
      out,
      features,
      {split: examples(source) for split, source in sources.items()},
      finish,
    )


class _RecordMaker:
  """Encodes the records of audio sets, a batch at a time."""

  def __init__(
    self, codec: Codec, text_encoder: TextEncoder, config: CodesConfig
  ):
    self._codec, self._config = codec, config
    self._prompts = _Prompts(text_encoder, config.batch_captions)

  def features(self, source: Source) -> "tfds.features.FeaturesDict":
    """Features of the code set, by the first record."""
    first = next(self.records(source))
    return schema.code_features(
      *first["codes"].shape, *first["prompt"].shape[1:]
    )

  def records(self, source: Source) -> Iterator[Element]:
    """Records of a code set; an axis B are the views, or the captions."""
    size = self._config.batch_records
    for start in range(0, len(source), size):
      group = [source[i] for i in range(start, min(start + size, len(source)))]
      for element, codes_BxNxT in zip(group, self._codes(group), strict=True):
        frames = codes_BxNxT.shape[-1]
        tokens_BxPxC, mask_BxP = self._prompts(element["captions"])
        yield {
          "id": element["id"],
          "codes": codes_BxNxT,
          "num_frames": np.full(self._config.views, frames, np.int32),
          "captions": element["captions"],
          "prompt": tokens_BxPxC,
          "prompt_mask": mask_BxP,
          "label": element["label"],
        }

  def _codes(self, group: Sequence[Element]) -> np.ndarray:
    """Codes [records, views, N, T]; the batch is filled up to its full size."""
    config = self._config
    views = [
      view_S
      for element in group
      for view_S in _views(element, self._codec.config.sample_rate, config)
    ]
    rows = np.arange(config.batch_records * config.views) % len(views)
    codes_BxNxT = jax.device_get(self._codec.encode(np.stack(views)[rows]))
    codes_BxNxT = codes_BxNxT[: len(views)]
    if codes_BxNxT.max() > np.iinfo(np.uint16).max:
      raise UserError(
        f"code {codes_BxNxT.max()}: a code set holds codebooks of up to 65536"
      )
    codes_BxNxT = codes_BxNxT.astype(np.uint16)
    return codes_BxNxT.reshape(-1, config.views, *codes_BxNxT.shape[1:])


def _views(
  element: Element, sample_rate: int, config: CodesConfig
) -> Iterator[np.ndarray]:
  """The sound as it is, and varied."""
  rate = int(element["sample_rate"])
  if rate != sample_rate:
    raise UserError(
      f"audio set at {rate} Hz, codec at {sample_rate} Hz; prepare the audio"
      f" again at {sample_rate} Hz"
    )
  audio_S = schema.to_float(element["audio"])
  size = round(config.seconds * rate)
  name = element["id"].encode()
  rng = np.random.default_rng([config.seed, zlib.crc32(name)])
  unchanged = AugmentConfig(fit=config.augment.fit)
  for view in range(config.views):
    augment = config.augment if view else unchanged
    yield vary(audio_S, size, rate, augment, rng)


class _Prompts:
  """Encodes captions in batches of one size, equal captions only once."""

  def __init__(self, encoder: TextEncoder, batch: int):
    self._encoder, self._batch = encoder, batch
    self._known: dict[str, tuple[np.ndarray, np.ndarray]] = {}

  def __call__(self, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [captions, P, C] float16 and masks [captions, P]."""
    if len(self._known) > MAX_PROMPTS_KEPT:
      self._known.clear()
    new = [c for c in dict.fromkeys(captions) if c not in self._known]
    for start in range(0, len(new), self._batch):
      self._encode(new[start : start + self._batch])
    tokens, masks = zip(*(self._known[c] for c in captions), strict=True)
    return np.stack(tokens), np.stack(masks)

  def _encode(self, captions: list[str]) -> None:
    padded = captions + captions[:1] * (self._batch - len(captions))
    tokens_BxPxC, mask_BxP, *_ = self._encoder.encode_text(padded)
    with np.errstate(over="ignore"):  # Refused below.
      tokens_BxPxC = jax.device_get(tokens_BxPxC).astype(np.float16)
    if not np.isfinite(tokens_BxPxC).all():
      raise UserError(
        f"prompts such as {captions[0]!r}: token embeddings of this CLAP"
        " exceed the float16 maximum,"
        f" {np.finfo(np.float16).max:g}; use another CLAP"
      )
    mask_BxP = np.asarray(mask_BxP, bool)
    rows = zip(captions, tokens_BxPxC, mask_BxP, strict=False)
    self._known.update((c, (tokens, mask)) for c, tokens, mask in rows)
