"""Sound generation for the page, on a `Siren`; independent of Gradio.

Sounds and their facts are those of `siren-jax generate --candidates 1
--num-samples N`: their JSON files reproduce them.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from siren_jax.cli.page import limits
from siren_jax.cli.page.limits import Request
from siren_jax.cli.sounds import closest, facts
from siren_jax.cli.sounds.recordings import Recording
from siren_jax.common.errors import UserError
from siren_jax.storage import fingerprint


@dataclasses.dataclass(frozen=True)
class Studio:
  """A loaded model, and how it was loaded.

  Attributes:
    siren: an `api.Siren`.
    model, fingerprint, mesh, batch_size: see `facts.Call`.
  """

  siren: Any
  model: str | None
  fingerprint: str
  mesh: str | None
  batch_size: int


class Source(NamedTuple):
  """A recording that sounds are made from.

  Attributes:
    name: its original file name.
    fingerprint: of the file.
    audio_S: its samples.
    notes: what was done to them, such as "resampled 44100 -> 16000 Hz".
  """

  name: str
  fingerprint: str
  audio_S: np.ndarray
  notes: tuple[str, ...]


class Candidate(NamedTuple):
  """A generated sound.

  Attributes:
    audio_S: float32 at the model's sample rate, ready to be written.
    facts: what its JSON file says.
    score: cosine of words and sound; None without words.
  """

  audio_S: np.ndarray
  facts: dict[str, Any]
  score: float | None


def read(studio: Studio, path: pathlib.Path, name: str) -> Source:
  """Reads an uploaded recording.

  Raises:
    UserError: it cannot be used, or is longer than `limits` allow.
  """
  from siren_jax.audio import sound_files

  try:
    audio_S, notes = sound_files.read_audio(
      path,
      studio.siren.sample_rate,
      max_seconds=limits.RECORDING_SECONDS,
    )
  except UserError as error:  # The message has the server's path.
    raise UserError(str(error).replace(str(path), name)) from error
  return Source(name, fingerprint.of_file(path), audio_S, notes)


def stream(
  studio: Studio, request: Request, source: Source | None = None
) -> Iterator[np.ndarray]:
  """The first sound, in chunks as they are generated, in [-1, 1].

  Args:
    source: a recording to continue, which comes first.

  Raises:
    UserError: there is neither a prompt nor a recording.
  """
  from siren_jax.audio import loudness

  limiter = loudness.Limiter(studio.siren.sample_rate)
  chunks = studio.siren.stream(
    request.words if source is None else request.words or None,
    request.seconds,
    key=request.seed,
    continue_from=source and source.audio_S,
    **request.settings,
  )
  return map(limiter, chunks)


def generate(
  studio: Studio, request: Request, source: Source | None = None
) -> Iterator[Candidate]:
  """Sounds from a prompt, or continuing a recording.

  Args, raises: see `stream`.
  """
  from siren_jax.api import requests
  from siren_jax.audio import loudness

  siren = studio.siren
  recording = source and Recording("continue", source.name, source.fingerprint)
  target = requests.loudness_of(..., source is not None)
  common = _common(studio, request, request.seconds, target, recording, 1)
  far = _far(siren, request.words)
  sounds = siren.sounds(
    request.words if source is None else request.words or None,
    request.seconds,
    loudness=None,
    key=request.seed,
    num_samples=request.sounds,
    candidates=1,
    continue_from=source and source.audio_S,
    **request.settings,
  )
  for sound in sounds:
    audio_S, score = sound.audio_S, _score(siren, sound.audio_S, request.words)
    if target is not None:
      audio_S = loudness.level(audio_S, siren.sample_rate, target)
    sound_facts = facts.of_sound(
      siren, common, sound.prompt, sound.sample, None, far
    )
    yield Candidate(audio_S, sound_facts, score)


def change(
  studio: Studio, request: Request, source: Source, how: Recording
) -> Iterator[Candidate]:
  """A recording filled or varied.

  For each fill, the model's default number of candidates is drawn and the best
  is kept; a variation is one draw.

  Args:
    how: the hole, or the number of codebooks to keep.

  Raises:
    UserError: there is no such hole, or not so many codebooks.
  """
  siren = studio.siren
  candidates = siren.num_candidates() if how.hole is not None else 1
  how = dataclasses.replace(
    how, path=source.name, fingerprint=source.fingerprint
  )
  seconds = len(source.audio_S) / siren.sample_rate
  common = _common(studio, request, seconds, None, how, candidates)
  far = _far(siren, request.words)
  for sample in range(request.sounds):
    audio_S = how.change(
      siren,
      source.audio_S,
      request.words,
      key=request.seed,
      sample=sample,
      candidates=candidates,
      **request.settings,
    )
    sound_facts = facts.of_sound(
      siren, common, request.words, sample, None, far
    )
    yield Candidate(audio_S, sound_facts, _score(siren, audio_S, request.words))


def warm_up_prompts(studio: Studio, request: Request) -> None:
  """Compiles the programs for sounds from prompts."""
  for _ in stream(studio, request):
    pass
  for _ in generate(studio, request):
    pass


def warm_up_recordings(studio: Studio, request: Request) -> Iterator[object]:
  """Compiles the programs for recordings, with and without prompt, in steps."""
  rate = studio.siren.sample_rate
  noise_S = np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
  source = Source("noise", "", noise_S, ())
  for words in (request.words, ""):
    now = dataclasses.replace(request, words=words, seconds=0.1, sounds=1)
    yield from stream(studio, now, source)
    yield from generate(studio, now, source)
    for how in (
      Recording("fill", "", hole=(0.4, 0.6)),
      Recording("vary", "", keep=1),
    ):
      yield from change(studio, now, source, how)


def _common(
  studio: Studio,
  request: Request,
  seconds: float,
  loudness: float | None,
  recording: Recording | None,
  candidates: int,
) -> dict[str, Any]:
  call = facts.Call(
    studio.model,
    studio.fingerprint,
    request.seed,
    seconds,
    loudness,
    recording,
    studio.mesh,
    studio.batch_size,
  )
  options = {**request.settings, "candidates": candidates}
  return facts.of_call(studio.siren, call, options, bool(request.words))


def _far(siren: Any, words: str) -> list[str] | None:
  """The closest sounds of the model, if the prompt is far from all."""
  return closest.far_prompts(siren, [words] if words else []).get(words)


def _score(siren: Any, audio_S: np.ndarray, words: str) -> float | None:
  return siren.clap_score(audio_S, words) if words else None
