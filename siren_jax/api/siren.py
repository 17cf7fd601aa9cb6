"""A bundle ready for use: sounds from text and from recordings."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any

import jax
import numpy as np

from siren_jax import sampling
from siren_jax.api import notebook, recordings, requests
from siren_jax.api.model import BATCH_SIZE, Model
from siren_jax.api.sounds import Batch, Closest, Sound
from siren_jax.audio import loudness as levels
from siren_jax.codec.model import check_codes
from siren_jax.common import mesh as meshes
from siren_jax.common.errors import UserError
from siren_jax.sampling import pieces
from siren_jax.weights import bundle as bundles

STREAM_FRAMES = 10  # per chunk of a stream: fewer start sooner but cost more


class Siren:
  """A bundle ready for use; all methods are pure in their arguments."""

  def __init__(
    self,
    bundle: bundles.Bundle,
    mesh: meshes.MeshConfig | None = None,
    batch_size: int = BATCH_SIZE,
    expand: bool = True,
  ):
    if batch_size < 1:
      raise UserError(f"batch_size {batch_size}: must be at least 1")
    self._model, self._batch_size = Model(bundle, mesh, expand), batch_size
    self.bundle = self._model.bundle

  def __repr__(self) -> str:
    return notebook.text(self)

  def _repr_html_(self) -> str:
    return notebook.table(self)

  @property
  def sample_rate(self) -> int:
    """Sample rate in Hz of all audio that goes in or comes out."""
    return self.bundle.codec.config.sample_rate

  def generate(
    self,
    prompts: str | Sequence[str] | None = None,
    seconds: float = 5.0,
    **options: Any,
  ) -> np.ndarray:
    """Generates sounds for each prompt.

    Args:
      prompts: one description, or several; None to continue a recording
        without a prompt.
      seconds: length of each sound, or of what is added to a recording.
      **options: see `sounds`.

    Returns:
      audio_BxS float32 at `sample_rate`; B runs over the prompts and, within
      each, over its samples.

    Raises:
      UserError: a prompt is blank, or a setting is out of range.
    """
    return np.stack(list(self.clips(prompts, seconds, **options)))

  def clips(
    self,
    prompts: str | Sequence[str] | None = None,
    seconds: float = 5.0,
    **options: Any,
  ) -> Iterator[np.ndarray]:
    """Like `generate`, but yields one audio_S after the other."""
    return (s.audio_S for s in self.sounds(prompts, seconds, **options))

  def sounds(
    self,
    prompts: str | Sequence[str] | None = None,
    seconds: float = 5.0,
    *,
    loudness: float | None | EllipsisType = ...,
    **options: Any,
  ) -> Iterator[Sound]:
    """Generates sounds one after the other, with prompt, sample and CLAP score.

    A sound depends on its prompt, its sample number for that prompt, the key
    and the settings only. It is the same to the last bit alone and among
    others, with the same `batch_size` on the same machine.

    Args:
      prompts: one description, or several. A repeated prompt gets the next
        samples.
      seconds: length of each sound.
      loudness: integrated loudness of the sounds in LUFS, with a true peak of
        at most -1 dBTP and ends faded over 5 ms. None: the codec's output as it
        is, which may exceed [-1, 1]. The default is -23, but None for
        continued recordings, whose level is kept.
      **options: see `batches`.

    Raises:
      UserError: by this call, before the first sound; see `generate`.
    """
    recording = options.get("continue_from") is not None
    target = requests.loudness_of(loudness, recording)
    batches = self.batches(prompts, seconds, **options)

    def sounds() -> Iterator[Sound]:
      for rows, drawn in batches:
        parts = list(drawn)
        audio_BxS = np.concatenate([part.audio_BxS for part in parts], 1)
        score_B = pieces.mean_scores(
          (part.score_B, part.audio_BxS.shape[1]) for part in parts
        )
        for audio_S, score, row in zip(audio_BxS, score_B, rows, strict=False):
          if target is not None:
            audio_S = levels.level(audio_S, self.sample_rate, target)
          yield Sound(audio_S, *row, score)

    return sounds()

  def batches(
    self,
    prompts: str | Sequence[str] | None = None,
    seconds: float = 5.0,
    *,
    key: jax.Array | int = 0,
    num_samples: int = 1,
    sample: int = 0,
    candidates: int | None = None,
    continue_from: jax.Array | np.ndarray | None = None,
    on_seconds: Callable[[float], None] = lambda seconds: None,
    **settings: Any,
  ) -> Iterator[Batch]:
    """Like `sounds`, but in pieces: memory does not grow with length.

    Args:
      prompts, seconds: see `sounds`.
      key: random key or seed.
      num_samples: sounds per prompt.
      sample: number of the first sample; makes the n-th sound alone.
      candidates: number drawn for each sound, of which the one is kept, in
        every window, whose CLAP embedding is closest to that of the expanded
        prompt (without one, of the recording); None: the bundle's default.
      continue_from: a recording audio_S that every sound starts with and
        continues.
      on_seconds: called with the seconds of sound drawn since the last call,
        counted once per batch.
      **settings: fields of `SamplingConfig` that differ from the bundle's
        (temperature, top_k, top_p, guidance, ...).

    Raises:
      UserError: by this call; see `generate`.
    """
    before_S = requests.checked_audio(continue_from)
    words = requests.words_of(prompts, continue_from is not None)
    method = self._method(words, settings)
    new = requests.num_samples_in(seconds, self.sample_rate)
    candidates = self.num_candidates(candidates)
    rows = requests.rows_of(words, num_samples, sample)
    root = requests.root_key(key)
    # One batch size, padded: the same program makes one sound or several.
    size = self._model.ways * max(1, self._batch_size // candidates)
    total = len(before_S) + new

    def batches() -> Iterator[Batch]:
      prefix = self._model.prefix(before_S, bool(words[0]))
      for first in range(0, len(rows), size):
        drawn_rows = [rows[min(first + i, len(rows) - 1)] for i in range(size)]
        request = self._model.request(
          drawn_rows, root, candidates, method, total, prefix
        )
        drawn = self._model.draw(request, on_seconds)
        yield Batch(
          rows[first : first + size],
          recordings.joined(before_S, drawn, total, self.sample_rate),
        )

    return batches()

  def stream(
    self,
    prompt: str | None = None,
    seconds: float | None = None,
    *,
    key: jax.Array | int = 0,
    sample: int = 0,
    continue_from: jax.Array | np.ndarray | None = None,
    **settings: Any,
  ) -> Iterator[np.ndarray]:
    """Generates one sound and yields its samples as they are made.

    Concatenated, they are the sound of `generate` with the same key, one
    candidate and no loudness, up to rounding (about 1 % of full scale for a
    codec with voices); `audio.loudness.Limiter` can apply a gain.

    Args:
      prompt: a description; None to continue a recording without a prompt.
      seconds: length; None: endless.
      key, sample, continue_from, **settings: see `batches`.

    Yields:
      Chunks audio_S, float32 at `sample_rate`.

    Raises:
      UserError: by this call; see `generate`.
    """
    before_S = requests.checked_audio(continue_from)
    words = requests.words_of(prompt, continue_from is not None)
    rows = requests.rows_of(words[:1], 1, sample)
    if len(words) > 1:
      raise UserError(f"{len(words)} prompts; a stream has one")
    total = None
    if seconds is not None:
      new = requests.num_samples_in(seconds, self.sample_rate)
      total = len(before_S) + new
    method = self._method(words, settings)
    prefix = self._model.prefix(before_S, bool(words[0]))
    root = requests.root_key(key)
    request = self._model.request(rows, root, 1, method, total, prefix)
    drawn = self._model.draw(request, share=STREAM_FRAMES, chunk=STREAM_FRAMES)
    whole = recordings.joined(before_S, drawn, total, self.sample_rate)
    return (piece.audio_BxS[0] for piece in whole)

  def vary(
    self,
    audio: jax.Array | np.ndarray,
    keep: int = 4,
    prompt: str | None = None,
    *,
    key: jax.Array | int = 0,
    sample: int = 0,
    candidates: int | None = None,
    **settings: Any,
  ) -> np.ndarray:
    """A variation of a recording: keeps its coarse codes, redraws the others.

    Args:
      audio: the recording audio_S.
      keep: number of codebooks, coarsest first, whose codes are kept.
      prompt: a description; None: no prompt.
      key, sample, candidates, **settings: see `batches`.

    Returns:
      audio_S of the same length.

    Raises:
      UserError: see `generate`; or there are not so many codebooks.
    """
    audio_S = requests.checked_audio(audio)
    books = self.bundle.codec.config.num_codebooks
    if not 0 <= keep < books:
      raise UserError(
        f"keep {keep}: give 0 to {books - 1}; this model has {books} codebooks"
      )
    request = self._of_recording(
      "vary", audio_S, prompt, key, sample, candidates, settings
    )
    target_E = None if prompt else self._model.embedding(audio_S)
    request = dataclasses.replace(
      request,
      kept_NxT=self._model.codes(audio_S),
      num_kept=keep,
      target_E=target_E,
    )
    drawn = self._model.draw(request)
    varied = np.concatenate([audio_BxS[0] for audio_BxS, _ in drawn])
    return varied[: len(audio_S)]

  def fill(
    self,
    audio: jax.Array | np.ndarray,
    start: float,
    end: float,
    prompt: str | None = None,
    *,
    key: jax.Array | int = 0,
    sample: int = 0,
    candidates: int | None = None,
    **settings: Any,
  ) -> np.ndarray:
    """A recording with a part of it regenerated.

    Several fills are drawn as continuations of what precedes the hole; the one
    is kept that best fits what follows it and the prompt.

    Args:
      audio: the recording audio_S.
      start, end: of the hole, in seconds.
      prompt: a description; None: no prompt.
      key, sample, candidates, **settings: see `batches`.

    Returns:
      audio_S, unchanged except for the hole and 10 ms at its ends.

    Raises:
      UserError: see `generate`; or the hole is not within the recording.
    """
    audio_S = requests.checked_audio(audio)
    length = len(audio_S) / self.sample_rate
    start, end = requests.hole_in(start, end, length)
    first, last = round(start * self.sample_rate), round(end * self.sample_rate)
    request = self._of_recording(
      "fill", audio_S, prompt, key, sample, candidates, settings
    )
    codes_NxT = self._model.codes(audio_S)
    request = dataclasses.replace(
      request,
      begin=first // self._model.hop,
      end=requests.frames_of(max(last, first + 1), self._model.hop),
    )
    filled_S = self._model.fill(request, codes_NxT)
    return recordings.with_hole_filled(
      audio_S, filled_S, first, last, self.sample_rate
    )

  def expanded(self, prompt: str) -> str:
    """The prompt in words of the training captions, as the experts get it.

    Unusual words are followed much better that way (our design): a prompt
    becomes the example of its nearest kind of sound, with the facts that it
    states, such as "in the distance"; of several sounds, each does. Wordings of
    the captions stay as they are. `load(expand=False)` turns it off.

    Raises:
      UserError: the prompt is blank.
    """
    (prompt,) = requests.checked_prompts([prompt])
    return self._model.expanded(prompt)

  @property
  def expands(self) -> bool:
    """Whether prompts are `expanded`."""
    return self._model.expands

  def save(self, audio: notebook.Audio, path: str | os.PathLike) -> None:
    """Writes a sound to a file; see `siren_jax.save`."""
    notebook.save(audio, path, self.sample_rate)

  def closest(self, prompt: str, count: int = 3) -> Closest:
    """The kinds of sound closest to a prompt, and whether it is far from all.

    Raises:
      UserError: the prompt is blank, or the bundle has no repertoire.
    """
    (prompt,) = requests.checked_prompts([prompt])
    return self._model.closest(prompt, count)

  def clap_score(self, audio: jax.Array | np.ndarray, prompt: str) -> float:
    """Cosine of the CLAP embeddings of a sound audio_S and an expanded prompt.

    For a sound longer than a window, the mean over its windows. `batches` keeps
    the candidate with the highest score, before loudness is set.

    Raises:
      UserError: the prompt is blank, or `audio` has the wrong shape.
    """
    (prompt,) = requests.checked_prompts([prompt])
    return self._model.clap_score(requests.checked_audio(audio), prompt)

  def encode(self, audio: jax.Array | np.ndarray) -> np.ndarray:
    """Codes [B, N, T] int32 of audio [B, S] or [S] at `sample_rate`."""
    return self._model.encode(requests.checked_batch(audio))

  def decode(self, codes: jax.Array | np.ndarray) -> np.ndarray:
    """Audio [B, T * hop] float32 of codes [B, N, T] or [N, T], not clipped."""
    codes = np.asarray(codes)
    codes_BxNxT = codes[None] if codes.ndim == 2 else codes
    check_codes(codes_BxNxT, self.bundle.codec.config)
    return self._model.decode(codes_BxNxT)

  def sampling_config(self, **settings: Any) -> sampling.SamplingConfig:
    """The bundle's sampling settings, overridden by `settings`."""
    return requests.changed(self.bundle.sampling, settings)

  def num_candidates(self, candidates: int | None = None) -> int:
    """Number of candidates per sound; None: the bundle's default."""
    if candidates is None:
      return self.bundle.candidates
    return sampling.check_candidates(candidates)

  def _of_recording(
    self,
    purpose: str,
    audio_S: np.ndarray,
    prompt: str | None,
    key: jax.Array | int,
    sample: int,
    candidates: int | None,
    settings: Mapping[str, Any],
  ) -> pieces.Request:
    """A request for one sound made from a recording.

    Its keys depend on the purpose: those of `generate` would draw a sound of
    our own again.
    """
    words = requests.words_of(prompt, True)
    if len(words) > 1:
      raise UserError(f"{len(words)} prompts for one recording; give one")
    return self._model.request(
      requests.rows_of(words, 1, sample),
      requests.root_key(key, purpose),
      self.num_candidates(candidates),
      self._method(words, settings),
      len(audio_S),
      {},
    )

  def _method(
    self, words: Sequence[str], settings: Mapping[str, Any]
  ) -> sampling.SamplingConfig:
    """The sampling method; without a prompt, no guidance."""
    method = self.sampling_config(**settings)
    return method if words[0] else dataclasses.replace(method, guidance=None)
