"""Endpoints: from browser request to displayed result; see docs/demo.md.

Each method is an endpoint. It takes any JSON values, and yields values for
`player.js`: {status, rate, stream, chunks, sounds}; `stream` is when the
request began, which tells its chunks from those of others. Nothing here imports
Gradio.
"""

import base64
import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from siren_jax.cli import outputs
from siren_jax.cli.page import limits, making
from siren_jax.cli.page.gate import Gate
from siren_jax.cli.page.limits import Request
from siren_jax.cli.page.making import Candidate, Source, Studio
from siren_jax.cli.sounds import closest
from siren_jax.cli.sounds.recordings import Recording

Value = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Endpoints:
  """The endpoints of a page.

  Attributes:
    studio: generates sounds.
    folder: of uploads and of files that the page serves.
    gate: all work passes through it.
  """

  studio: Studio
  folder: pathlib.Path
  gate: Gate

  # Names and order of arguments are those of the API.

  def generate(
    self,
    words: Any,
    seconds: Any,
    seed: Any,
    candidates: Any,
    temperature: Any,
    top_k: Any,
    guidance: Any,
  ) -> Iterator[Value]:
    """Sounds from a prompt: the first as it is drawn, then all of them."""
    request = limits.check_request(
      words, seconds, seed, candidates, temperature, top_k, guidance
    )
    return self._streamed(request, None)

  def continue_(
    self,
    recording: Any,
    words: Any,
    seconds: Any,
    seed: Any,
    candidates: Any,
    temperature: Any,
    top_k: Any,
    guidance: Any,
  ) -> Iterator[Value]:
    """Sounds that continue a recording."""
    request = limits.check_request(
      words, seconds, seed, candidates, temperature, top_k, guidance
    )
    return self._streamed(request, self._source(recording))

  def fill(
    self,
    recording: Any,
    start: Any,
    end: Any,
    words: Any,
    seconds: Any,
    seed: Any,
    candidates: Any,
    temperature: Any,
    top_k: Any,
    guidance: Any,
  ) -> Iterator[Value]:
    """Regenerates a recording from `start` to `end`, in seconds."""
    request = limits.check_request(
      words, seconds, seed, candidates, temperature, top_k, guidance
    )
    longest = limits.RECORDING_SECONDS
    hole = (
      limits.number("start", start, 0, longest),
      limits.number("end", end, 0, longest),
    )
    return self._changed(request, recording, Recording("fill", "", hole=hole))

  def vary(
    self,
    recording: Any,
    keep: Any,
    words: Any,
    seconds: Any,
    seed: Any,
    candidates: Any,
    temperature: Any,
    top_k: Any,
    guidance: Any,
  ) -> Iterator[Value]:
    """Variations of a recording that keep `keep` of its codebooks."""
    request = limits.check_request(
      words, seconds, seed, candidates, temperature, top_k, guidance
    )
    keep = limits.integer("keep", keep, 0, self.num_codebooks - 1)
    return self._changed(request, recording, Recording("vary", "", keep=keep))

  def preview(self, recording: Any) -> Value:
    """A recording as the model reads it; empty without one."""
    if recording is None:
      return self._value("")
    source = self._source(recording)
    sound = self._files(source.audio_S, "recording")
    sound["title"] = source.name
    return self._value("; ".join(source.notes), sounds=[sound])

  @property
  def num_codebooks(self) -> int:
    """Number of codebooks of the model."""
    return self.studio.siren.bundle.codec.config.num_codebooks

  def _streamed(
    self, request: Request, source: Source | None
  ) -> Iterator[Value]:
    """One sound as it is drawn, then the files of all."""
    chunks: list[str] = []
    seconds, begun = 0.0, time.time()
    for chunk_S in making.stream(self.studio, request, source):
      seconds += len(chunk_S) / self.studio.siren.sample_rate
      chunks.append(_encoded(chunk_S))
      yield self._value(f"{seconds:.1f} s drawn", chunks, stream=begun)
    candidates = making.generate(self.studio, request, source)
    done = source and Recording("continue", source.name).done
    yield from self._shown(
      request, candidates, source, done or "", chunks, begun
    )

  def _changed(
    self, request: Request, recording: Any, how: Recording
  ) -> Iterator[Value]:
    source = self._source(recording)
    candidates = making.change(self.studio, request, source, how)
    return self._shown(request, candidates, source, how.done, [], time.time())

  def _shown(
    self,
    request: Request,
    candidates: Iterable[Candidate],
    source: Source | None,
    done: str,
    chunks: list[str],
    begun: float,
  ) -> Iterator[Value]:
    """Sounds as they are finished; finally marks the best one."""
    words = request.words or (
      pathlib.PurePath(source.name).stem if source else ""
    )
    sounds: list[Value] = []
    remarks: list[str] = []
    yield self._value(f"0 of {request.sounds} sounds", chunks, stream=begun)
    for sound in candidates:
      stem = outputs.stem(words, request.seed, sound.facts["sample"], done)
      sounds.append(self._files(sound.audio_S, stem, sound.facts))
      remarks = closest.remarks(sound.facts)
      sounds[-1] |= {"title": stem, "score": sound.score}
      if sound.score is not None:
        sounds[-1]["title"] += f", CLAP score {sound.score:.2f}"
      count = f"{len(sounds)} of {request.sounds} sounds"
      yield self._value(count, chunks, list(sounds), begun)
    if request.words and len(sounds) > 1:
      best = max(sounds, key=lambda sound: sound["score"])
      best["best"] = True
      best["title"] += ", best match for the words"
    yield self._value("; ".join(remarks), sounds=sounds, stream=begun)

  def _source(self, recording: Any) -> Source:
    limits.check_files(recording, self.folder)
    return making.read(self.studio, *limits.upload(recording))

  def _files(
    self, audio_S: np.ndarray, stem: str, facts: Value | None = None
  ) -> Value:
    """A sound with the files that the page serves."""
    from siren_jax.audio import sound_files, spectrogram

    rate = self.studio.siren.sample_rate
    folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
    path = folder / f"{stem}.wav"
    sound: Value = {
      "audio": _file(path),
      "picture": _file(path.with_suffix(".png")),
      "seconds": len(audio_S) / rate,
      "best": False,
    }
    if facts is None:
      sound_files.write_audio(path, audio_S, rate)
    else:
      outputs.write(path, audio_S, facts, picture=False)
      json = path.with_suffix(".json")
      # As text: clients treat an object with a path as a file of the page.
      sound |= {"json": _file(json), "facts": json.read_text("utf-8")}
    path.with_suffix(".png").write_bytes(spectrogram.image(audio_S, rate))
    return sound

  def _value(
    self,
    status: str,
    chunks: Iterable[str] = (),
    sounds: Iterable[Value] = (),
    stream: float = 0.0,
  ) -> Value:
    return {
      "status": status,
      "rate": self.studio.siren.sample_rate,
      "stream": stream,
      "chunks": list(chunks),
      "sounds": list(sounds),
    }


def _encoded(audio_S: np.ndarray) -> str:
  """Samples in [-1, 1] as 16 bits in base64."""
  samples_S = np.round(32767 * audio_S).astype("<i2")
  return base64.b64encode(samples_S.tobytes()).decode()


def _file(path: pathlib.Path) -> Value:
  """A file as Gradio describes one that it serves."""
  return {
    "path": str(path),
    "orig_name": path.name,
    "meta": {"_type": "gradio.FileData"},
  }
