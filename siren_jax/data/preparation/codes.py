"""An audio set to the code set that Stage 1 trains on."""

import dataclasses
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.data.batches.augment import AugmentConfig, vary
from siren_jax.data.sets import builder
from siren_jax.data.sets.records import to_float
from siren_jax.data.sets.store import Element, open_source, splits

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
    augment: how the other views vary. `fit` "silence" teaches the model that
      a short sound is followed by silence, "loop" that it goes on.
    seed: fixes the views.
  """

  seconds: float = 5.0
  views: int = 4
  batch_records: int = 2
  augment: AugmentConfig = VIEWS
  seed: int = 0

  def __post_init__(self):
    if self.seconds <= 0:
      raise UserError(f"seconds={self.seconds}: must be above 0")
    for name in ("views", "batch_records"):
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
  """Writes a code set (see `builder.code_features`) to folder `out`.

  The encoders always see batches of one size, so each compiles once.

  Args:
    audio_set: what prepare_audio wrote.
    codec: turns sound into codes.
    text_encoder: turns captions into prompts.
    out: a new folder.
    config: what to make.
    overwrite: `out` may be a data set; it is replaced when the new one is
      complete.
    finish: writes what else belongs into the folder.

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
  with builder.claim(out, overwrite):
    return _prepare(audio_set, codec, text_encoder, out, config, finish)


def _prepare(
  audio_set, codec, text_encoder, out, config, finish
) -> dict[str, int]:
  prompts = _Prompts(text_encoder)
  names = splits(audio_set)
  sources = {name: open_source(audio_set, name, cached=False) for name in names}
  counts = {name: len(source) for name, source in sources.items()}
  first = next(_examples(sources[names[0]], codec, prompts, config))[1]
  features = builder.code_features(
    *first["codes"].shape, *first["prompt"].shape[1:]
  )
  with tqdm(
    total=sum(counts.values()), desc="encoding", unit=" sounds"
  ) as progress:

    def counted(source) -> builder.Examples:
      for example in _examples(source, codec, prompts, config):
        progress.update()
        yield example

    builder.write(
      out, features, {name: counted(sources[name]) for name in names}, finish
    )
  return counts


def _examples(
  source: Sequence[Element],
  codec: Codec,
  prompts: "_Prompts",
  config: CodesConfig,
) -> Iterator[tuple[str, dict[str, Any]]]:
  """Records of a code set, encoded a batch at a time."""
  size = config.batch_records
  for start in range(0, len(source), size):
    group = [source[i] for i in range(start, min(start + size, len(source)))]
    codes_RxVxNxT = _encode(group, codec, config)
    for element, codes_VxNxT in zip(group, codes_RxVxNxT, strict=True):
      frames = codes_VxNxT.shape[-1]
      tokens_CxPxW, mask_CxP = prompts(element["captions"])
      yield (
        element["id"],
        {
          "id": element["id"],
          "codes": codes_VxNxT,
          "num_frames": np.full(config.views, frames, np.int32),
          "captions": element["captions"],
          "prompt": tokens_CxPxW,
          "prompt_mask": mask_CxP,
          "label": element["label"],
        },
      )


def _encode(
  group: Sequence[Element], codec: Codec, config: CodesConfig
) -> np.ndarray:
  """Codes [records, views, N, T]; the batch is filled up to its full size."""
  views = [
    view_S
    for element in group
    for view_S in _views(element, codec.config.sample_rate, config)
  ]
  batch_size = config.batch_records * config.views
  rows = np.arange(batch_size) % len(views)
  codes_BxNxT = np.asarray(codec.encode(np.stack(views)[rows]))[: len(views)]
  if codes_BxNxT.max() > np.iinfo(np.uint16).max:
    raise UserError(
      f"code {codes_BxNxT.max()}: a code set holds codebooks of up to 65536"
    )
  codes_BxNxT = codes_BxNxT.astype(np.uint16)
  return codes_BxNxT.reshape(-1, config.views, *codes_BxNxT.shape[1:])


def _views(
  element: Element, sample_rate: int, config: CodesConfig
) -> Iterator[np.ndarray]:
  rate = int(element["sample_rate"])
  if rate != sample_rate:
    raise UserError(
      f"audio set at {rate} Hz, codec at {sample_rate} Hz; prepare the audio"
      f" again at {sample_rate} Hz"
    )
  audio_S = to_float(element["audio"])
  size = round(config.seconds * rate)
  name = element["id"].encode()
  rng = np.random.default_rng([config.seed, zlib.crc32(name)])
  as_it_is = AugmentConfig(fit=config.augment.fit)
  for view in range(config.views):
    how = config.augment if view else as_it_is
    yield vary(audio_S, size, rate, how, rng)


class _Prompts:
  """Encodes captions in batches of one size, and the same caption once."""

  def __init__(self, encoder: TextEncoder):
    self._encoder = encoder
    self._known: dict[str, tuple[np.ndarray, np.ndarray]] = {}

  def __call__(self, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [captions, P, C] float16 and masks [captions, P]."""
    if len(self._known) > MAX_PROMPTS_KEPT:
      self._known.clear()
    new = [c for c in dict.fromkeys(captions) if c not in self._known]
    for start in range(0, len(new), TEXT_BATCH):
      self._encode(new[start : start + TEXT_BATCH])
    tokens, masks = zip(*(self._known[c] for c in captions), strict=True)
    return np.stack(tokens), np.stack(masks)

  def _encode(self, captions: list[str]) -> None:
    padded = captions + captions[:1] * (TEXT_BATCH - len(captions))
    tokens_BxPxC, mask_BxP, *_ = self._encoder.encode_text(padded)
    with np.errstate(over="ignore"):  # Told below.
      tokens_BxPxC = np.asarray(tokens_BxPxC).astype(np.float16)
    if not np.isfinite(tokens_BxPxC).all():
      raise UserError(
        f"prompts such as {captions[0]!r}: tokens of this CLAP are beyond"
        f" {np.finfo(np.float16).max:g}, which float16 holds; use another CLAP"
      )
    mask_BxP = np.asarray(mask_BxP, bool)
    rows = zip(captions, tokens_BxPxC, mask_BxP, strict=False)
    self._known.update((c, (tokens, mask)) for c, tokens, mask in rows)
