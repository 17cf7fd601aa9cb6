"""Clips of folders and tables, and their features; results are cached.

The key of a result is the content of the file and the scorer's fingerprint: a
changed file of the same name is read again.
"""

import collections
import dataclasses
import hashlib
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np

from siren_jax.audio import resample, sound_files
from siren_jax.audio.decoding import Resampler
from siren_jax.common import paths, text
from siren_jax.common.errors import UserError
from siren_jax.common.files import parse_json
from siren_jax.data.sources import recordings, tables, walk
from siren_jax.data.sources.problems import Problems
from siren_jax.evaluation import reconstruction
from siren_jax.evaluation.cache import Cache
from siren_jax.evaluation.scorers import BatchConfig, Features, Scorer

BATCH = BatchConfig().clips
LONGEST = 300.0  # seconds of a clip
_ALIKE = 0.01  # seconds by which a codec may silently change a length


@dataclasses.dataclass(frozen=True)
class Clip:
  """A sound file.

  Attributes:
    path: of the file.
    name: pairs it with a clip of another folder.
    content: hash of the file, "" if it cannot be read.
    caption: from a table, "" if there is none.
  """

  path: pathlib.Path
  name: str
  content: str
  caption: str = ""


@dataclasses.dataclass
class Log(Problems):
  """Problems with clips, and the reader's notes.

  Attributes:
    unusable: clips that a scorer cannot process.
    notes: of the reader, by clip.
  """

  unusable: set[pathlib.Path] = dataclasses.field(default_factory=set)
  notes: dict[pathlib.Path, set[str]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(set)
  )

  def note_counts(self) -> dict[str, int]:
    """The number of clips by note, most frequent first."""
    counts = collections.Counter(
      note for notes in self.notes.values() for note in notes
    )
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def find(
  source: str | os.PathLike,
  apart: str | os.PathLike | None = None,
  problems: Problems | None = None,
) -> list[Clip]:
  """All sound files below a folder, or of a table.

  Names are paths relative to the folder, or file names of a table, without
  suffix, in Unicode's normal form C. Folder `apart` is skipped. Unusable files
  are added to `problems`.

  Raises:
    UserError: there are none, or two have the same name.
  """
  source = paths.local(source)
  problems = problems or Problems()
  if tables.is_table(source):
    listed = recordings.find(source, problems, apart)
    return _named(
      source, ((r.path, r.path.stem, (*r.captions, "")[0]) for r in listed)
    )
  # Outside the folder it is harmless, and links may lead there.
  is_below = apart and source.resolve() in (
    pathlib.Path(apart).resolve().parents
  )
  files = walk.sound_files(
    source, sound_files.SUFFIXES, apart if is_below else None
  )
  for message in files.skipped:
    problems.add(message)
  if not files.paths:
    raise UserError(
      f"{source} holds no sound files; "
      + (problems.summary() or f"looked for {', '.join(sound_files.SUFFIXES)}")
    )
  names = (p.relative_to(source).with_suffix("") for p in files.paths)
  return _named(
    source, ((p, n.as_posix(), "") for p, n in zip(files.paths, names))
  )


def _named(
  source: pathlib.Path, files: Iterable[tuple[pathlib.Path, str, str]]
) -> list[Clip]:
  """Clips from paths, names and captions."""
  clips: dict[str, Clip] = {}
  for path, name, caption in files:
    name = text.normal(name)
    if name in clips:
      raise UserError(
        f"{source}: {clips[name].path} and {path} have the same name; clips"
        " are paired by name: rename one of them"
      )
    clips[name] = Clip(path, name, _content(path), caption)
  return list(clips.values())


def _content(path: pathlib.Path) -> str:
  try:
    with path.open("rb") as file:
      return hashlib.file_digest(file, "sha256").hexdigest()[:32]
  except OSError:
    return ""  # The reader will report the error.


def captions(
  clips: Sequence[Clip],
) -> tuple[list[str | None], list[str]]:
  """Captions, and problems with the JSON files of clips without one.

  A caption comes from the table, or else from the prompt in the JSON file that
  `generate` wrote for the clip; None if there is neither.
  """
  texts, problems = [], []
  for clip in clips:
    try:
      texts.append(clip.caption or _prompt(clip.path.with_suffix(".json")))
    except UserError as error:
      texts.append(None)
      problems.append(str(error))
  return texts, problems


def _prompt(path: pathlib.Path) -> str | None:
  """The prompt in a JSON file; None: there is no such file."""
  if not os.path.exists(path):  # also if the name is too long
    return None
  content = text.read_text(path)
  try:
    values = parse_json(content)
  except (ValueError, RecursionError) as error:
    raise UserError(f"{path}: not JSON ({error})") from error
  prompt = values.get("prompt") if isinstance(values, dict) else None
  if not isinstance(prompt, str) or not prompt.strip():
    raise UserError(f"{path}: its prompt is empty or not a string")
  return prompt.strip()


def pairs(
  reference: Sequence[str], generated: Sequence[str]
) -> list[tuple[int, int]]:
  """Pairs of indices of equal names."""
  places = {name: i for i, name in enumerate(reference)}
  return [
    (places[name], i) for i, name in enumerate(generated) if name in places
  ]


def check_pairs(reference: Sequence[str], generated: Sequence[str]) -> None:
  """Raises a UserError if no names are equal."""
  if not pairs(reference, generated):
    raise UserError(
      f"no generated clip ({generated[0]!r}, ...) has the same name as a"
      f" reference clip ({reference[0]!r}, ...); clips are paired by name"
    )


def distances(
  reference: Sequence[Clip],
  generated: Sequence[Clip],
  log: Log | None = None,
) -> dict[str, np.ndarray]:
  """Distances of waveforms by name (see `reconstruction`), one per pair.

  At the rate of the generated clip, with the length of the shorter one.

  Args:
    log: records pairs that cannot be compared; without it they are errors.

  Raises:
    UserError: no names are equal, or no pair can be compared.
  """
  names = [c.name for c in reference], [c.name for c in generated]
  check_pairs(*names)
  rows = []
  for i, j in pairs(*names):
    try:
      rows.append(_distance(reference[i].path, generated[j].path, log))
    except UserError as error:
      if log is None:
        raise
      log.add(str(error))
  if not rows:
    assert log is not None  # Otherwise the first error was raised.
    raise UserError(f"no pair can be compared; {log.summary()}")
  return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _distance(
  reference: pathlib.Path, generated: pathlib.Path, log: Log | None
) -> dict[str, float]:
  rate = sound_files.file_rate(generated)
  reference_S, generated_S = (
    sound_files.read_audio(path, rate)[0] for path in (reference, generated)
  )
  size, longer = sorted((len(reference_S), len(generated_S)))
  if log and longer - size > _ALIKE * rate:
    log.notes[generated].add("compared over the shorter clip's length")
  try:
    values = reconstruction.distances(
      reference_S[None, :size], generated_S[None, :size], rate
    )
  except UserError as error:
    raise UserError(
      f"{generated} and {reference}: {error}; leave them out"
    ) from error
  return {name: float(value_B[0]) for name, value_B in values.items()}


def rates(clips: Sequence[Clip], log: Log) -> list[int | None]:
  """Sample rates of the files; None for files with a problem in `log`."""
  file_rates: list[int | None] = []
  for clip in clips:
    try:
      file_rates.append(sound_files.file_rate(clip.path))
    except UserError as error:
      file_rates.append(None)
      _skip(clip, error, log)
  return file_rates


def extract(
  clips: Sequence[Clip],
  scorer: Scorer,
  cache: Cache | os.PathLike | None = None,
  progress: Callable[[int], None] = lambda count: None,
  log: Log | None = None,
  batch: BatchConfig = BatchConfig(),
) -> list[Features | None]:
  """Features of each clip by `scorer`, one after the other.

  Args:
    cache: of results, or its folder; None: no cache.
    progress: called with the number of clips processed since the last call.
    log: records unusable clips, which get None and are skipped by other
      scorers. Without it they are errors.
    batch: clips that are processed at once.

  Raises:
    UserError: a clip is broken, silent, too short or too long; the message
      names it.
  """
  cache = cache if isinstance(cache, Cache) else Cache(cache)
  # Results and the reader's notes, by content.
  results: dict[str, tuple[Features, tuple[str, ...]]] = {}
  for clip in clips:
    if entry := cache.get(scorer.fingerprint, clip.content):
      results[clip.content] = entry
  todo = [clip for clip in clips if clip.content not in results]
  progress(len(clips) - len(todo))
  rest = len(todo)
  for reads, rows in _batches(_readable(todo, scorer, log), scorer, batch):
    for read, result in zip(reads, _results(reads, rows, scorer)):
      if not all(np.isfinite(x).all() for x in result.values()):
        for clip in clips:
          if clip.content == read.clip.content:
            message = f"{clip.path}: NaN or infinity from {scorer.name}"
            _skip(clip, UserError(f"{message}; leave it out"), log)
        continue
      results[read.clip.content] = result, read.notes
      cache.put(scorer.fingerprint, read.clip.content, result, read.notes)
    rest -= len(reads)
    progress(len(reads))
  if rest:  # unusable clips and duplicates
    progress(rest)
  if log:
    for clip in clips:
      log.notes[clip.path].update(results.get(clip.content, ({}, ()))[1])
  return [results.get(clip.content, (None, ()))[0] for clip in clips]


@dataclasses.dataclass(frozen=True)
class _Read:
  clip: Clip
  audio_S: np.ndarray
  notes: tuple[str, ...]


def _readable(
  clips: Sequence[Clip], scorer: Scorer, log: Log | None
) -> Iterator[_Read]:
  """Clips at the scorer's rate, by its resampler; each content once."""
  done = set()
  for clip in clips:
    if clip.content in done or (log and clip.path in log.unusable):
      continue
    try:
      read = _read(clip, scorer)
    except UserError as error:
      _skip(clip, error, log)
      continue
    done.add(clip.content)
    yield read


def _read(clip: Clip, scorer: Scorer) -> _Read:
  by: Resampler = (
    resample.resample
    if scorer.resampler == "torchaudio"
    else resample.resample_soxr
  )
  audio_S, notes = sound_files.read_audio(
    clip.path, scorer.sample_rate, by, max_seconds=LONGEST
  )
  seconds = len(audio_S) / scorer.sample_rate
  if seconds < scorer.shortest:
    raise UserError(
      f"{clip.path}: {seconds:.4g} s; {scorer.name} needs at least"
      f" {scorer.shortest:g} s; leave it out or make it longer"
    )
  return _Read(clip, audio_S, notes)


def _skip(clip: Clip, error: UserError, log: Log | None) -> None:
  if log is None:
    raise error
  log.add(str(error))
  log.unusable.add(clip.path)


def _batches(
  reads: Iterable[_Read], scorer: Scorer, batch: BatchConfig
) -> Iterator[tuple[list[_Read], int]]:
  """Groups of consecutive clips of equal length, and their batch size."""
  for size, group in itertools.groupby(reads, lambda read: len(read.audio_S)):
    rows = batch.rows(size, scorer.sample_rate)
    while neighbours := list(itertools.islice(group, rows)):
      yield neighbours, rows


def _results(
  reads: Sequence[_Read], rows: int, scorer: Scorer
) -> list[Features]:
  """Results by clip; batches are padded, so that each length compiles once."""
  audios = [read.audio_S for read in reads]
  audio_BxS = np.stack(audios + audios[-1:] * (rows - len(audios)))
  arrays = jax.device_get(scorer.extract(audio_BxS))
  return [{k: x[i] for k, x in arrays.items()} for i in range(len(reads))]
