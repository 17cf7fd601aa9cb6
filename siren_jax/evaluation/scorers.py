"""Scorers: embedding networks, each bound to its weights.

VGGish gives FAD, Cnn14 FD, IS and KL, a CLAP the CLAP score. Without published
weights, the CLAP of a bundle takes all three roles; its figures are comparable
only with those of the same bundle.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import soundfile
import soxr

import siren_jax
from siren_jax import clap
from siren_jax.common.errors import UserError
from siren_jax.common.precision import exact
from siren_jax.data.captions import phrasebook
from siren_jax.evaluation import networks
from siren_jax.storage import components, fingerprint, folders

Features = Mapping[str, np.ndarray]  # of a clip or a batch, by name
_WINDOW_SECONDS = 0.96  # of the nano scorer's FAD, as VGGish's
_SHARPNESS = 20.0  # of the nano scorer's class probabilities
# Version of all code between a file and its features: the reader, resampling,
# the networks and their front ends. Increase it when any of them changes.
_VERSION = 2


@dataclasses.dataclass(frozen=True)
class BatchConfig:
  """Batch sizes of scorers: larger is faster on an accelerator.

  Attributes:
    clips, seconds: most clips in a batch, and their most seconds in total.
    texts: most texts in a batch.
  """

  clips: int = 16
  seconds: float = 240.0
  texts: int = 64

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if not value > 0:
        raise UserError(f"batch {field.name}={value}: must be above 0")

  def rows(self, size: int, sample_rate: int) -> int:
    """Number of clips of `size` samples in a batch; at least one."""
    return max(1, min(self.clips, int(self.seconds * sample_rate / size)))


@dataclasses.dataclass(frozen=True)
class Scorer:
  """A network that turns clips into features.

  Attributes:
    name: for reports.
    sample_rate: of its input, in Hz.
    extract: audio_BxS to arrays [B, ...] by name: "windows" [B, I, D], "clip"
      [B, D], "logits" [B, O], "text_space" [B, E] of length one.
    fingerprint: of everything that a result depends on besides the clip: the
      kind of network, weights, settings, resampler, versions. It identifies the
      scorer in the cache.
    shortest: minimum length of a clip in seconds.
    embed_text: texts to embeddings in "text_space"; None: not supported.
    resampler: "torchaudio" or "soxr".
  """

  name: str
  sample_rate: int
  extract: Callable[[np.ndarray], Mapping[str, Any]]
  fingerprint: str
  shortest: float
  embed_text: Callable[[Sequence[str]], np.ndarray] | None = None
  resampler: str = "torchaudio"


@dataclasses.dataclass(frozen=True)
class Panel:
  """Scorers by role: `windows` FAD, `tagger` FD, IS and KL, `text` CLAP."""

  windows: Scorer
  tagger: Scorer
  text: Scorer

  @property
  def scorers(self) -> tuple[Scorer, ...]:
    """Each scorer once; several may have the same name."""
    return tuple({s.fingerprint: s for s in self.roles.values()}.values())

  @property
  def roles(self) -> dict[str, Scorer]:
    """The scorers by their figures."""
    return {"fad": self.windows, "fd, is, kl": self.tagger, "clap": self.text}


def panel(
  model: clap.Clap,
  name: str,
  vggish: str | os.PathLike | None = None,
  cnn14: str | os.PathLike | None = None,
  clap_folder: str | os.PathLike | None = None,
  batch: BatchConfig = BatchConfig(),
) -> Panel:
  """The available scorers.

  Args:
    model, name: a CLAP that replaces missing scorers, and its name.
    vggish, cnn14, clap_folder: folders written by `siren-jax import-weights`.
    batch: batch sizes for texts.

  Raises:
    UserError: weights that cannot be read.
  """
  filler = clap_for_all_roles(model, name, batch)
  return Panel(
    windows=of_vggish(vggish) if vggish else filler,
    tagger=of_cnn14(cnn14) if cnn14 else filler,
    text=of_clap(clap_folder, batch) if clap_folder else filler,
  )


def clap_for_all_roles(
  bound: clap.Clap, name: str, batch: BatchConfig = BatchConfig()
) -> Scorer:
  """A CLAP as scorer for all roles.

  Windows and clips are its embeddings; class probabilities come from the
  words of the phrase book's categories.
  """
  categories = phrasebook.categories()
  words_OxE = _embed_text(bound, batch.texts, categories)
  window = round(_WINDOW_SECONDS * bound.config.audio.sample_rate)

  @exact
  def extract(params: Any, audio_BxS: jax.Array) -> dict[str, jax.Array]:
    def embed(x: jax.Array) -> jax.Array:
      return clap.encode_audio(params, bound.config, x)

    pieces = audio_BxS.shape[1] // window
    cut = audio_BxS[:, : pieces * window].reshape(-1, window)
    clips_BxE = embed(audio_BxS)
    return {
      "windows": embed(cut).reshape(len(audio_BxS), pieces, -1),
      "clip": clips_BxE,
      "logits": _SHARPNESS * clips_BxE @ words_OxE.T,
      "text_space": clips_BxE,
    }

  return _scorer(
    bound.params,
    ("all places", bound.config, bound.tokenizer.to_str(), categories)
    + (_SHARPNESS, window),
    extract,
    name=f"CLAP of {name}",
    sample_rate=bound.config.audio.sample_rate,
    shortest=_WINDOW_SECONDS,
    embed_text=functools.partial(_embed_text, bound, batch.texts),
    resampler="soxr",
  )


def of_vggish(folder: str | os.PathLike) -> Scorer:
  """VGGish, before its last ReLU."""
  config, params = components.load(
    folders.imported(folder),
    "vggish",
    networks.VGGishConfig,
    networks.init_vggish,
  )

  def extract(params: Any, audio_BxS: jax.Array) -> dict[str, jax.Array]:
    patches = networks.vggish_patches(audio_BxS)
    flat = patches.reshape(-1, *patches.shape[2:])
    embeddings: Any = networks.VGGish(config).apply({"params": params}, flat)
    return {"windows": embeddings.reshape(*patches.shape[:2], -1)}

  return _scorer(
    params,
    ("vggish", config),
    extract,
    name="VGGish",
    sample_rate=16000,
    # 96 frames every 10 ms, the last one 25 ms long.
    shortest=0.975,
  )


def of_cnn14(folder: str | os.PathLike) -> Scorer:
  """PANNs' Cnn14 at 16 or 32 kHz."""
  config, params = components.load(
    folders.imported(folder), "cnn14", networks.Cnn14Config, networks.init_cnn14
  )

  def extract(params: Any, audio_BxS: jax.Array) -> dict[str, jax.Array]:
    clip, logits = networks.Cnn14(config).apply({"params": params}, audio_BxS)
    return {"clip": clip, "logits": logits}

  return _scorer(
    params,
    ("cnn14", config),
    extract,
    name=f"PANNs Cnn14 {config.sample_rate // 1000} kHz",
    sample_rate=config.sample_rate,
    # Five halvings of the frames.
    shortest=0.32,
  )


def of_clap(
  folder: str | os.PathLike, batch: BatchConfig = BatchConfig()
) -> Scorer:
  """Any CLAP, for the CLAP score only."""
  bound = clap.load(folder)

  @exact
  def extract(params: Any, audio_BxS: jax.Array) -> dict[str, jax.Array]:
    return {"text_space": clap.encode_audio(params, bound.config, audio_BxS)}

  return _scorer(
    bound.params,
    ("clap", bound.config, bound.tokenizer.to_str()),
    extract,
    name=f"CLAP {pathlib.Path(folder).resolve().name}",
    sample_rate=bound.config.audio.sample_rate,
    shortest=0.05,
    embed_text=functools.partial(_embed_text, bound, batch.texts),
  )


@exact
def _embed_text(
  bound: clap.Clap, count: int, texts: Sequence[str]
) -> np.ndarray:
  """Embeddings [B, E] of any number of texts, `count` at a time."""
  starts = range(0, len(texts), count)
  parts = [bound.encode_text(texts[i : i + count])[2] for i in starts]
  return np.concatenate(jax.device_get(parts))


def _scorer(
  params: Any,
  what: tuple[Any, ...],
  extract: Callable[[Any, jax.Array], dict[str, jax.Array]],
  **fields: Any,
) -> Scorer:
  """A scorer, its weights on the device, and its fingerprint, 16 hex digits.

  Args:
    params: its weights.
    what: the kind of network, and all settings that are not among the fields.
    extract: function of weights and audio; compiled for `Scorer.extract`.
    **fields: of `Scorer`.
  """
  weights, program = jax.device_put(params), jax.jit(extract)
  scorer = Scorer(
    fingerprint="",
    extract=lambda audio_BxS: program(weights, jax.device_put(audio_BxS)),
    **fields,
  )
  settings = (
    what,
    (scorer.sample_rate, scorer.resampler, scorer.shortest),
    (_VERSION, siren_jax.__version__, jax.__version__, jax.default_backend()),
    # They read and resample the files.
    (soxr.__version__, soundfile.__libsndfile_version__),
  )
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  element = {name: np.asarray(x) for name, x in jax.device_get(flat).items()}
  digest = fingerprint.of_element(element | {"settings": repr(settings)})
  return dataclasses.replace(scorer, fingerprint=digest[:16])
