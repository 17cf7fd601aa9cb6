"""Finds recordings and what is known of them; reads no audio.

Layouts, told apart by looking: a manifest (CSV, TSV or JSONL, or a folder that
holds one called manifest.csv or so), ESC-50 (audio/ and meta/esc50.csv),
AudioCaps and Clotho (their CSV files, and clips somewhere below the folder),
and a plain folder of sound files, whose captions are in .txt files beside them
(one per line) or in their names (see `captions`).
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from siren_jax.audio.sound_files import SUFFIXES
from siren_jax.common import paths
from siren_jax.common.errors import UserError
from siren_jax.common.text import is_text, printable
from siren_jax.data.sources import corpora, manifests, sound_folders
from siren_jax.data.sources.problems import Problems
from siren_jax.data.sources.recording import Recording

ESC50 = Path("meta", "esc50.csv")


def find(
  source: str | os.PathLike,
  problems: Problems | None = None,
  apart: str | os.PathLike | None = None,
) -> list[Recording]:
  """All recordings of one source, in a fixed order.

  Args:
    source: file or folder.
    problems: collects what cannot be used.
    apart: folder in which no sound is looked for.

  Raises:
    UserError: no such source, an unreadable manifest, or no usable entry.
  """
  source = paths.local(source)
  problems = problems or Problems()
  if not is_text(str(source)):
    raise UserError(f"{printable(source)}: its name is not UTF-8; rename it")
  if source.suffix.lower() in SUFFIXES and source.is_file():
    raise UserError(f"{source}: a sound file; give its folder, or a manifest")
  if not source.exists():
    raise UserError(f"{source}: no such file or folder; check the path")
  apart = Path(apart) if apart else None
  recordings = list(_unique(_read(source, problems, apart), problems))
  if not recordings:
    missing = f"looked for {', '.join(SUFFIXES)}"
    if source.is_file():
      missing = "no rows below the header; add some"
    missing = problems.summary() or missing
    raise UserError(f"{source}: no usable recording; {missing}")
  return recordings


def find_all(
  sources: Sequence[str | os.PathLike], problems: Problems
) -> list[Recording]:
  """Recordings of all sources, each file once.

  The source's name makes their ids unique.

  Raises:
    UserError: as `find` does, for any source.
  """
  recordings: list[Recording] = []
  names: set[str] = set()
  places: set[str] = set()
  for number, source in enumerate(sources):
    path = paths.local(source).resolve()
    name = path.parent.name if path.is_file() else path.name
    if name in names:
      name = f"{name}-{number}"
    names.add(name)
    for recording in find(source, problems):
      place = os.path.realpath(recording.path)
      if place in places:
        problems.add(f"{recording.path}: in another source already")
        continue
      places.add(place)
      recordings.append(
        dataclasses.replace(recording, id=f"{name}/{recording.id}")
      )
  return recordings


def _read(
  source: Path, problems: Problems, apart: Path | None
) -> Iterator[Recording]:
  if source.is_file():
    if corpora.of_file(source):
      return corpora.read([source], source.parent, problems, apart)
    return manifests.read(source, source.parent, problems)
  for name in manifests.NAMES:
    if (source / name).exists():
      return manifests.read(source / name, source, problems)
  if (source / ESC50).exists():
    return manifests.read(source / ESC50, source / "audio", problems)
  files = [p for p in sorted(source.glob("*.csv")) if corpora.of_file(p)]
  if files:
    return corpora.read(corpora.without_test(files), source, problems, apart)
  return sound_folders.read(source, problems, apart)


def _unique(
  recordings: Iterable[Recording], problems: Problems
) -> Iterator[Recording]:
  seen = set()
  for recording in recordings:
    if recording.id in seen:
      problems.add(f"{recording.path}: listed twice")
      continue
    seen.add(recording.id)
    yield recording
