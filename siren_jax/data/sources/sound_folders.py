"""A plain folder of sounds: words from .txt files beside, or from names."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from absl import logging

from siren_jax.audio.sound_files import SUFFIXES
from siren_jax.common.errors import UserError
from siren_jax.common.text import normal, printable, read_lines
from siren_jax.data.sources import captions, splits, tables, walk
from siren_jax.data.sources.problems import Problems
from siren_jax.data.sources.recording import Recording


def read(
  root: Path, problems: Problems, apart: Path | None
) -> Iterator[Recording]:
  """Sound files below `root`, but for those below `apart`."""
  for path in sorted(root.glob("*")):
    if tables.is_table(path):
      logging.warning(
        "%s is not read; rename it to %s, or give the path of the file",
        printable(path),
        f"manifest{path.suffix.lower()}",
      )
  walked = walk.sound_files(root, SUFFIXES, apart)
  for message in walked.skipped:
    problems.add(message)
  split_of = _split_folders(root, walked.paths)
  texts = functools.cache(_texts)
  for path in walked.paths:
    top = path.relative_to(root).parts[0]
    try:
      caption, kind = captions.of_path(
        path, root / top if top in split_of else root
      )
      own = _sidecar_captions(path, texts(path.parent), problems) or (
        (caption,) if caption else ()
      )
      if not (own or kind):
        raise UserError(
          f"{path}: no words in its name or folder; put a .txt file with"
          " captions beside it, or write a manifest.csv"
        )
    except UserError as error:
      problems.add(str(error))
      continue
    yield Recording(
      id=str(path.relative_to(root)),
      path=path,
      captions=own,
      category=kind,
      split=splits.without_test(split_of.get(top, "")),
    )


def _split_folders(root: Path, paths: Iterable[Path]) -> dict[str, str]:
  """The splits that folders below `root` are called as, if there are two.

  One alone may be a kind of sound: a train.
  """
  names = {path.relative_to(root).parts[0] for path in paths}
  split_of = {
    name: splits.NAMES[name.lower()]
    for name in names
    if name.lower() in splits.NAMES
  }
  return split_of if len(set(split_of.values())) > 1 else {}


def _texts(folder: Path) -> dict[str, Path]:
  """The .txt files of a folder by their names without suffix."""
  return {
    normal(path.stem): path
    for path in sorted(folder.iterdir())
    if path.suffix.lower() == ".txt"
  }


def _sidecar_captions(
  path: Path, texts: Mapping[str, Path], problems: Problems
) -> tuple[str, ...]:
  """Captions in the text of a sound's name: dog.txt or dog.wav.txt."""
  text = texts.get(normal(path.stem)) or texts.get(normal(path.name))
  if not text:
    return ()
  own = captions.usable(read_lines(text), str(text), problems.add)
  if not own:
    raise UserError(f"{text}: no caption; write one per line, or delete it")
  return own
