"""A bundle on its devices: shared by all ways to make a sound."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from siren_jax import clap, codec, experts, sampling
from siren_jax.api import recordings, requests
from siren_jax.api.sounds import Closest
from siren_jax.clap import tokenizer
from siren_jax.codec import model as codec_model
from siren_jax.common import mesh as meshes
from siren_jax.common.errors import UserError
from siren_jax.sampling import filling, pieces
from siren_jax.weights import bundle as bundles
from siren_jax.weights import expansion, nearest

_Part = TypeVar("_Part", codec.Codec, clap.Clap)

BATCH_SIZE = 4  # one sound of the built-in model, with its candidates
_EXPANDED = 256  # prompts whose expansion is kept


def _ignore(seconds: float) -> None:
  """Default progress callback."""


def _embed(
  model: clap.Clap,
  over_mesh: Callable[[], contextlib.AbstractContextManager[Any]],
  text: str,
) -> np.ndarray:
  """CLAP embedding [E] of a text."""
  with over_mesh():
    embedding_1xE = model.encode_text([text], log_cuts=False)[2]
  return jax.device_get(embedding_1xE)[0]


class Model:
  """Parameters of a bundle, prepared once and kept on the devices.

  Attributes:
    bundle: without its experts' parameters, see `Bundle.released`.
    expands: whether prompts are expanded, see `weights.expansion`.
    ways: number of groups of devices that the rows of a batch are divided over.
    window: codec frames in the experts' context, as in training.
  """

  def __init__(
    self,
    bundle: bundles.Bundle,
    mesh: meshes.MeshConfig | None,
    expand: bool,
  ):
    self._models = bundle.models
    self.expands = expand
    codec_config = bundle.codec.config
    self.window = max(2, int(bundle.max_seconds * codec_config.frame_rate))
    # The smallest size that decodes a whole window at once.
    ahead = codec_model.module(codec_config).look_ahead
    self._share = max(1, self.window - ahead + 1)
    self.ways = 1
    shardings: Mapping[str, Any] = dict.fromkeys(bundle.all_params)
    self._over_mesh: Callable[[], contextlib.AbstractContextManager[Any]] = (
      contextlib.nullcontext
    )
    if mesh is not None:
      devices = meshes.make_mesh(mesh)
      shardings = _shardings(bundle, devices)
      self.ways = meshes.batch_ways(devices)
      self._over_mesh = functools.partial(jax.set_mesh, devices)
    with self._over_mesh():
      # Nothing else refers to the stack: it is freed after this.
      weights = sampling.prepare_weights(
        jax.device_put(bundle.params, shardings["experts"]),
        bundle.config,
        bundle.execution,
      )
    self._codec = _placed(bundle.codec, shardings["codec"])
    self._clap = _placed(bundle.clap, shardings["clap"])
    self._params = {
      "clap": self._clap.params,
      "experts": weights,
      "codec": self._codec.params,
    }
    self.bundle = bundle.released(codec=self._codec, clap=self._clap)
    # Not a method: the search would keep the model alive.
    self._embed = functools.partial(_embed, self._clap, self._over_mesh)
    self._search: nearest.KindSearch | None = None
    if (known := bundle.repertoire) is not None:
      self._search = nearest.KindSearch(
        known, self._embed, self._clap.word_vectors
      )
    self._expanded = functools.lru_cache(_EXPANDED)(expansion.expanded)

  @property
  def hop(self) -> int:
    """Samples in a codec frame."""
    return self._models.codec.hop

  def request(
    self,
    rows: Sequence[tuple[str, int]],
    root: jax.Array,
    candidates: int,
    method: sampling.SamplingConfig,
    total: int | None,
    prefix: Mapping[str, Any],
  ) -> pieces.Request:
    """The request for these rows of prompt and sample, `total` samples long."""
    return pieces.Request(
      method=method,
      keys_BxG=requests.keys_of(root, rows, candidates),
      end=None if total is None else requests.frames_of(total, self.hop),
      **self._tokens([prompt for prompt, _ in rows]),
      **prefix,
    )

  def _tokens(self, prompts: Sequence[str]) -> dict[str, Any]:
    """Token ids and mask of the expanded prompts; empty without prompts."""
    if not prompts[0]:
      return {}
    expanded = {text: self.expanded(text) for text in dict.fromkeys(prompts)}
    ids_BxP, mask_BxP = tokenizer.tokenize(
      self._clap.tokenizer,
      [expanded[text] for text in prompts],
      self._clap.config.text.max_tokens,
    )
    return {"ids_BxP": ids_BxP, "mask_BxP": mask_BxP}

  def expanded(self, prompt: str) -> str:
    """The prompt that the experts are given; the same if it would be cut."""
    if self._search is None or not self.expands:
      return prompt
    expanded = self._expanded(prompt, self._search)
    size = len(self._clap.tokenizer.encode(expanded).ids)
    return expanded if size <= self._clap.config.text.max_tokens else prompt

  def closest(self, prompt: str, count: int) -> Closest:
    """The `count` closest kinds to a prompt, and whether it is far from all.

    Raises:
      UserError: the bundle has no repertoire.
    """
    if self._search is None:
      raise UserError(
        f"{self.bundle.name} does not say what it was trained on; make it again"
        " with siren-jax export --manifest"
      )
    known = self._search.known
    margin = known.margin(self._embed(prompt))
    return Closest(
      kinds=self._search.closest(prompt, count),
      is_far=margin < known.far_threshold,
      margin=margin,
    )

  def prefix(self, before_S: np.ndarray, with_words: bool) -> dict[str, Any]:
    """The prefix of sounds that continue a recording, for `Request`."""
    if not len(before_S):
      return {}
    # A last frame that the recording does not fill is regenerated.
    begin = max(1, len(before_S) // self.hop)
    codes_NxT = self.codes(before_S)[:, :begin]
    prefix: dict[str, Any] = {"begin": begin, "prefix_NxT": codes_NxT}
    if not with_words:
      prefix["target_E"] = self.embedding(before_S)
    return prefix

  def encode(self, audio_BxS: np.ndarray) -> np.ndarray:
    """Codes [B, N, T] of audio."""
    with self._over_mesh():
      return jax.device_get(self._codec.encode(audio_BxS))

  def decode(self, codes_BxNxT: np.ndarray) -> np.ndarray:
    """Audio [B, S] of codes."""
    with self._over_mesh():
      return jax.device_get(self._codec.decode(codes_BxNxT))

  def codes(self, audio_S: np.ndarray) -> np.ndarray:
    """Codes [N, T] of a recording."""
    with self._over_mesh():
      return recordings.codes_of(self._codec, audio_S, self.window)

  def embedding(self, audio_S: np.ndarray) -> np.ndarray:
    """CLAP embedding [E] of the last window of a recording."""
    room = self.window * self.hop
    size = min(len(audio_S), room)
    padded_S = np.pad(audio_S[-size:], (0, room - size))
    with self._over_mesh():
      sound = meshes.put((padded_S[None], np.int32(size)))
      embedding_BxE = pieces.embed_audio(
        self._params["clap"], *sound, models=self._models
      )
    return jax.device_get(embedding_BxE)[0]

  def clap_score(self, audio_S: np.ndarray, prompt: str) -> float:
    """Cosine of a sound and a prompt, averaged over windows."""
    room = self.window * self.hop
    parts = [audio_S[i : i + room] for i in range(0, len(audio_S), room)]
    text_E = self._embed(self.expanded(prompt))
    scores = [self.embedding(part_S) @ text_E for part_S in parts]
    return float(np.average(scores, weights=list(map(len, parts))))

  def draw(
    self,
    request: pieces.Request,
    on_seconds: Callable[[float], None] = _ignore,
    share: int | None = None,
    chunk: int = sampling.CHUNK,
  ) -> Iterator[pieces.Piece]:
    """`pieces.pieces` of a request, by default decoded in large blocks."""
    frame_rate = self._models.codec.frame_rate
    drawn = pieces.pieces(
      self._params,
      self._models,
      request,
      self.window,
      self._share if share is None else share,
      chunk,
      lambda frames: on_seconds(frames / frame_rate),
    )
    while True:
      with self._over_mesh():
        piece = next(drawn, None)
      if piece is None:
        return
      yield piece

  def fill(self, request: pieces.Request, codes_NxT: np.ndarray) -> np.ndarray:
    """Audio [S] of codes, with the frames of `request` regenerated."""
    with self._over_mesh():
      return filling.fill(
        self._params,
        self._models,
        request,
        codes_NxT,
        self.window,
      ).audio_S


def _placed(part: _Part, sharding: Any) -> _Part:
  """The part with its parameters on the devices."""
  return dataclasses.replace(part, params=jax.device_put(part.params, sharding))


def _shardings(bundle: bundles.Bundle, mesh: jax.sharding.Mesh) -> Any:
  """Shardings of `bundle.all_params`: experts by `RULES`, others replicated."""
  boxed = jax.eval_shape(
    lambda key: experts.init(key, bundle.config), jax.random.key(0)
  )
  everywhere = dict.fromkeys(bundle.all_params, meshes.replicated(mesh))
  return everywhere | {"experts": meshes.state_shardings(boxed, mesh)}
