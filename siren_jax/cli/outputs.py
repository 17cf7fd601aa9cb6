"""Output: sound files and their sidecar files, or standard output.

A sound, the JSON file that records how it was made and its spectrogram share a
name that no other sound has in any format; no file is ever overwritten.
"""

import contextlib
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from siren_jax.cli import terminal
from siren_jax.common import files
from siren_jax.common.errors import UserError
from siren_jax.common.text import normal

STEM_BYTES = 120  # of the words in a name; a name may have 255
_SIDECARS = (".json", ".png")  # files beside a sound


def stem(words: str, seed: int, sample: int, done: str = "") -> str:
  """Name of a sound without suffix: its first words, seed and sample.

  Args:
    done: what was done to a recording, if it was made from one.
  """
  words = re.sub(r"[\W_]+", "-", normal(words).lower())
  short = words.encode()[:STEM_BYTES].decode(errors="ignore").strip("-")
  parts = [short or "sound", done, f"seed{seed}", str(sample or "")]
  return "-".join(filter(None, parts))


@contextlib.contextmanager
def reserved(
  path: pathlib.Path, sidecars: tuple[str, ...] = ()
) -> Iterator[pathlib.Path]:
  """`files.unused`, where no sound gets the facts of another.

  A JSON file or a picture is taken for that of every sound of its name: a sound
  is written where none is, and a JSON file where no sound is in any format.

  Args:
    sidecars: suffixes of files that the block writes too.
  """
  from siren_jax.audio import sound_files

  suffix, sounds = path.suffix.lower(), sound_files.SUFFIXES
  taken: tuple[str, ...] = ()
  if suffix in sounds:
    taken = _SIDECARS
  if ".json" in (suffix, *sidecars):
    taken = (*sounds, *_SIDECARS)
  with files.unused(path, sidecars, [*taken, *map(str.upper, taken)]) as free:
    yield free


def write(
  path: pathlib.Path,
  sound: Any,
  facts: Mapping[str, Any],
  picture: bool,
) -> tuple[pathlib.Path, tuple[str, ...]]:
  """Writes a sound and what stands beside it.

  Args:
    path: where to; with a number added where a sound has that name.
    sound: `audio.loudness.Samples` at the rate of `facts`: an array, or what
      lies on disk.
    facts: for the JSON file; "prompt" and "sample_rate" are needed.
    picture: a spectrogram as PNG too.

  Returns:
    Where it was written, and notes such as of samples that were clipped.

  Raises:
    UserError: one of them cannot be written; then none is.
  """
  from siren_jax.audio import sound_files

  sidecars = (".json", ".png") if picture else (".json",)
  with reserved(path, sidecars) as path:
    rate = facts["sample_rate"]
    notes = sound_files.write_audio(path, sound, rate)
    with files.replacing(path.with_suffix(".json")) as file:
      file.write(f"{json.dumps(facts, indent=2)}\n".encode())
    if picture:
      from siren_jax.audio import spectrogram

      with files.replacing(path.with_suffix(".png")) as file:
        spectrogram.save(file, sound, rate, facts["prompt"])
  return path, notes


@contextlib.contextmanager
def standard_output() -> Iterator[BinaryIO]:
  """Standard output for bytes alone; what the block prints goes to stderr.

  Nobody reading it any more ends the block, and is no error.

  Raises:
    UserError: it is a terminal, or there is none.
  """
  if sys.stdout is None or sys.stdout.isatty():
    raise UserError(
      "--out -: writes sound to standard output; pipe it, as in | ffplay -"
    )
  file = sys.stdout.buffer
  try:
    with contextlib.redirect_stdout(sys.stderr):
      yield file
      file.flush()
  except BrokenPipeError:
    terminal.drop_unwritable()
