"""Generates and writes sounds, each with a JSON file on how it was made."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any, NamedTuple

from siren_jax.cli import outputs, runtime
from siren_jax.cli.sounds import closest, facts, flags
from siren_jax.cli.sounds.recordings import Recording

PathOf = Callable[[int, str, int], pathlib.Path]


class Drawn(NamedTuple):
  """A sound that is about to be written.

  Attributes:
    path: of the file.
    samples: `audio.loudness.Samples`, output of the codec.
    prompt, sample, clap_score: see `api.Sound`.
  """

  path: pathlib.Path
  samples: Any
  prompt: str
  sample: int
  clap_score: float | None


def sounds(
  prompts: Sequence[str],
  path_of: PathOf,
  model: str | None,
  seconds: float,
  seed: int,
  *,
  recording: Recording | None = None,
  spectrogram: bool = False,
  mesh: str | None = None,
  batch_size: int | None = None,
  dtype: str | None = None,
  expand: bool = True,
  expanded_before: str | None = None,
  loudness: float | None | EllipsisType = ...,
  **options: Any,
) -> None:
  """Writes sounds, each with its JSON file, and reports progress.

  Args:
    prompts: of the sounds; may be empty with a recording.
    path_of: function of a sound's number, prompt and sample to its file.
    model: the bundle; None is the default one.
    seconds: of each sound, or of the continuation of a recording.
    seed: of all sounds.
    recording: the source.
    spectrogram: also write a PNG for each.
    mesh: axes and sizes, such as "data=4,expert=2". batch_size, dtype, expand:
      see `api.load`.
    expanded_before: what an earlier call expanded the prompt to; a difference
      is reported.
    loudness: see `api.Siren.sounds`. **options: see `api.Siren.batches`.
  """
  start = time.perf_counter()
  from siren_jax import api
  from siren_jax.api import requests
  from siren_jax.storage import folders

  batch_size = api.BATCH_SIZE if batch_size is None else batch_size
  siren = api.load(
    model, flags.mesh(mesh), batch_size, dtype=dtype, expand=expand
  )
  fingerprint = folders.model_fingerprint(folders.find(model or None))
  target = requests.loudness_of(loudness, recording is not None)
  audio_S = None
  if recording is not None:
    audio_S, recording = recording.read(siren.sample_rate)
    if recording.verb != "continue":
      seconds = len(audio_S) / siren.sample_rate
  clock = runtime.CompileClock()
  far = closest.report(siren, prompts, expanded_before)
  loaded = time.perf_counter()
  runtime.print_status("getting ready; new settings compile once ...")
  common = facts.of_call(
    siren,
    facts.Call(
      model, fingerprint, seed, seconds, target, recording, mesh, batch_size
    ),
    options,
    has_words=bool(prompts),
  )
  count = max(1, len(prompts)) * options.get("num_samples", 1)
  with runtime.SecondsBar(count * seconds) as bar:
    options["key"] = seed
    if recording is None or recording.verb == "continue":
      drawn = _drawn(siren, prompts, seconds, audio_S, options, path_of, bar)
    else:
      drawn = _changed(
        siren, prompts, recording, audio_S, options, path_of, bar
      )
    _write_all(siren, drawn, count, common, far, spectrogram, bar)
  making = time.perf_counter() - loaded - clock.seconds
  print(
    f"{count * seconds:g} s of sound; took {loaded - start:.1f} s to "
    f"load, {clock.seconds:.1f} s to compile, {making:.1f} s to make"
  )


def _drawn(
  siren: Any,
  prompts: Sequence[str],
  seconds: float,
  before_S: Any,
  options: Mapping[str, Any],
  path_of: PathOf,
  bar: runtime.SecondsBar,
) -> Iterator[Drawn]:
  """Sounds on disk; memory does not grow with length.

  Args:
    before_S: a recording to continue; None: none.
  """
  from siren_jax.audio import disk_sound
  from siren_jax.sampling import pieces

  now: list[tuple[str, int]] = []  # rows of the batch
  batches = siren.batches(
    prompts or None,
    seconds,
    continue_from=before_S,
    on_seconds=lambda seconds: bar.add(seconds * len(now)),
    **options,
  )
  number = 0
  for now, parts in batches:
    paths = [path_of(number + i, *row) for i, row in enumerate(now)]
    number += len(now)
    scores = []
    with contextlib.ExitStack() as stack:
      disks = [stack.enter_context(disk_sound.temporary(p)) for p in paths]
      for audio_BxS, score_B in parts:
        for disk, audio_S in zip(disks, audio_BxS, strict=False):
          disk.append(audio_S)
        scores.append((score_B, audio_BxS.shape[1]))
      score_B = pieces.mean_scores(scores)
      for path, disk, row, score in zip(
        paths, disks, now, score_B, strict=False
      ):
        yield Drawn(path, disk, *row, score)


def _changed(
  siren: Any,
  prompts: Sequence[str],
  recording: Recording,
  audio_S: Any,
  options: Mapping[str, Any],
  path_of: PathOf,
  bar: runtime.SecondsBar,
) -> Iterator[Drawn]:
  """A recording filled or varied, sound by sound."""
  from siren_jax.api import requests

  options = dict(options)
  words = requests.checked_prompts(prompts) if prompts else [""]
  rows = requests.rows_of(
    words, options.pop("num_samples", 1), options.pop("sample", 0)
  )
  for number, (prompt, sample) in enumerate(rows):
    changed_S = recording.change(
      siren, audio_S, prompt, sample=sample, **options
    )
    bar.add(len(audio_S) / siren.sample_rate)
    yield Drawn(
      path_of(number, prompt, sample), changed_S, prompt, sample, None
    )


def _write_all(
  siren: Any,
  drawn: Iterator[Drawn],
  count: int,
  common: Mapping[str, Any],
  far: Mapping[str, Sequence[str]],
  picture: bool,
  bar: runtime.SecondsBar,
) -> None:
  """Writes sounds as they are made; if interrupted, reports how many.

  Args:
    common: from `facts.of_call`.
    far: from `closest.report`.
  """
  written = 0
  try:
    for sound in drawn:
      sound_facts = facts.of_sound(
        siren,
        common,
        sound.prompt,
        sound.sample,
        sound.clap_score,
        far.get(sound.prompt),
      )
      bar.write(_write(sound, sound_facts, picture))
      written += 1
  except KeyboardInterrupt as stop:
    stop.add_note(f"{written} of {count} sounds are written")
    raise


def _write(drawn: Drawn, sound_facts: Mapping[str, Any], picture: bool) -> str:
  """Writes a sound with its JSON file; returns a line about it."""
  from siren_jax.audio import loudness

  samples = drawn.samples
  if (target := sound_facts["loudness"]) is not None:
    samples = loudness.levelled(samples, sound_facts["sample_rate"], target)
  path, notes = outputs.write(drawn.path, samples, sound_facts, picture)
  if path != drawn.path:
    notes = (f"{drawn.path.name} already exists", *notes)
  line = [str(path)]
  if drawn.prompt:
    line.append(f'"{drawn.prompt}"')
  if drawn.clap_score is not None:
    line.append(f"CLAP score {drawn.clap_score:.2f}")
  return "; ".join(["  ".join(line), *notes])
