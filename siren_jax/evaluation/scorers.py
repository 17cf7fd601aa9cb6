"""What hears the clips: embedding networks, each bound to its weights.

Every measure has one: VGGish for FAD, Cnn14 for FD, IS and KL, a CLAP for the
CLAP score. Where published weights are not at hand, the CLAP of a bundle takes
all three places; its figures compare only with figures of the same bundle.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax
import numpy as np

from siren_jax import clap
from siren_jax.common import parts
from siren_jax.data import phrasebook
from siren_jax.evaluation import networks

Heard = Mapping[str, np.ndarray]
_WINDOW_SECONDS = 0.96  # of the nano scorer's FAD, as VGGish's
_SHARPNESS = 20.0  # of the nano scorer's class probabilities


@dataclasses.dataclass(frozen=True)
class Scorer:
  """A network that hears clips.

  Attributes:
    name: for reports.
    sample_rate: Hz of what it hears.
    hear: audio_BxS to arrays [B, ...] by name: "windows" [B, P, D], "clip"
      [B, D], "logits" [B, C], "text_space" [B, E] of length one.
    fingerprint: of its weights; cached results belong to it.
    shortest: seconds that a clip must last.
    read: texts to their embeddings in "text_space"; None where it cannot.
    resampler: "torchaudio" or "soxr".
  """

  name: str
  sample_rate: int
  hear: Callable[[np.ndarray], Heard]
  fingerprint: str
  shortest: float
  read: Callable[[Sequence[str]], np.ndarray] | None = None
  resampler: str = "torchaudio"


@dataclasses.dataclass(frozen=True)
class Panel:
  """Who judges what: `windows` FAD, `tagger` FD, IS and KL, `text` CLAP."""

  windows: Scorer
  tagger: Scorer
  text: Scorer

  @property
  def scorers(self) -> tuple[Scorer, ...]:
    """Each of them once."""
    return tuple(
      {s.name: s for s in (self.windows, self.tagger, self.text)}.values()
    )


def panel(
  model: clap.Clap,
  name: str,
  vggish: str | os.PathLike | None = None,
  cnn14: str | os.PathLike | None = None,
  clap_folder: str | os.PathLike | None = None,
) -> Panel:
  """The scorers at hand.

  Args:
    model, name: a CLAP that fills the places of the others, and what to
      call it.
    vggish, cnn14, clap_folder: folders that `siren-jax import-weights` made.

  Raises:
    UserError: weights that cannot be read.
  """
  filler = in_all_places(model, name)
  return Panel(
    windows=of_vggish(vggish) if vggish else filler,
    tagger=of_cnn14(cnn14) if cnn14 else filler,
    text=of_clap(clap_folder) if clap_folder else filler,
  )


def in_all_places(bound: clap.Clap, name: str) -> Scorer:
  """A CLAP that does the work of the others too.

  Windows and clips are its embeddings; class probabilities come from the
  words of the phrase book's categories.
  """
  words = bound.encode_text(phrasebook.categories())[2]
  window = round(_WINDOW_SECONDS * bound.config.audio.sample_rate)

  @jax.jit
  def hear(params, audio_BxS):
    def embed(x):
      return clap.encode_audio(params, bound.config, x)

    pieces = audio_BxS.shape[1] // window
    cut = audio_BxS[:, : pieces * window].reshape(-1, window)
    clips_BxE = embed(audio_BxS)
    return {
      "windows": embed(cut).reshape(len(audio_BxS), pieces, -1),
      "clip": clips_BxE,
      "logits": _SHARPNESS * clips_BxE @ words.T,
      "text_space": clips_BxE,
    }

  return Scorer(
    name=f"CLAP of {name}",
    sample_rate=bound.config.audio.sample_rate,
    hear=lambda audio: hear(bound.params, audio),
    fingerprint=_fingerprint(bound.params, bound.config),
    shortest=_WINDOW_SECONDS,
    read=lambda texts: np.asarray(bound.encode_text(texts)[2]),
    resampler="soxr",
  )


def of_vggish(folder: str | os.PathLike) -> Scorer:
  """VGGish, before its last ReLU."""
  config, params = parts.load(
    folder, "vggish", networks.VGGishConfig, networks.init_vggish
  )

  @jax.jit
  def hear(params, audio_BxS):
    patches = networks.vggish_patches(audio_BxS)
    flat = patches.reshape(-1, *patches.shape[2:])
    heard = networks.VGGish(config).apply({"params": params}, flat)
    return {"windows": heard.reshape(*patches.shape[:2], -1)}

  return Scorer(
    name="VGGish",
    sample_rate=16000,
    hear=lambda audio: hear(params, audio),
    fingerprint=_fingerprint(params, config),
    # 96 frames every 10 ms, the last one 25 ms long.
    shortest=0.975,
  )


def of_cnn14(folder: str | os.PathLike) -> Scorer:
  """PANNs' Cnn14 at 16 or 32 kHz."""
  config, params = parts.load(
    folder, "cnn14", networks.Cnn14Config, networks.init_cnn14
  )

  @jax.jit
  def hear(params, audio_BxS):
    clip, logits = networks.Cnn14(config).apply({"params": params}, audio_BxS)
    return {"clip": clip, "logits": logits}

  return Scorer(
    name=f"PANNs Cnn14 {config.sample_rate // 1000} kHz",
    sample_rate=config.sample_rate,
    hear=lambda audio: hear(params, audio),
    fingerprint=_fingerprint(params, config),
    # Five halvings of the frames.
    shortest=0.32,
  )


def of_clap(folder: str | os.PathLike) -> Scorer:
  """Any CLAP, for its score alone."""
  bound = clap.load(folder)
  return Scorer(
    name=f"CLAP {pathlib.Path(folder).resolve().name}",
    sample_rate=bound.config.audio.sample_rate,
    hear=lambda audio: {"text_space": bound.encode_audio(audio)},
    fingerprint=_fingerprint(bound.params, bound.config),
    shortest=0.05,
    read=lambda texts: np.asarray(bound.encode_text(texts)[2]),
  )


def _fingerprint(params: Any, config: Any) -> str:
  """Of weights and settings, 16 hexadecimal digits."""
  digest = hashlib.sha256(repr(config).encode())
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  for name in sorted(flat):
    digest.update(name.encode())
    digest.update(np.ascontiguousarray(flat[name]).tobytes())
  return digest.hexdigest()[:16]
